"""Networks and model files: the classifier, its runtimes, export and import."""
