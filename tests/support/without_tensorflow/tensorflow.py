"""Hides TensorFlow from programs that run on JAX: Keras would import it, for seconds, only to seed it."""

raise ImportError("hidden by the tests")
