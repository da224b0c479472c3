"""Facial-expression recognition with Keras: data, networks, training, honest scores.

One module, one stage, in the order in which a picture travels: ``images`` -> ``dataset`` -> ``networks`` and
``recipes`` -> ``training`` -> ``classifier`` -> ``metrics`` -> ``plots``. Importing the package loads nothing heavy.
"""

import os

# Keras asks for its backend once, when it is first imported. KERAS_BACKEND=jax or torch is respected.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# TensorFlow's start-up notes hide our own lines; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Read by OpenCV when it is first imported: a few hundred bytes may claim to be a picture of gigabytes.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))
# Read once, when FFmpeg is first used: its lines about broken streams may hold a password; `sources` says it without.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

from fer.core.errors import FerError  # noqa: E402 -- the environment above comes first

__all__ = ["FerError"]
