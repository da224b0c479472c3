"""Faces and their expressions in images and folders."""
