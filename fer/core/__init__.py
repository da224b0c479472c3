"""What every other package stands on: images, labels, files, figures, text and errors."""
