"""Shared foundations: images, labels, files, figures, text and errors."""
