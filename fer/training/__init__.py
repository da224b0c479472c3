"""Training: recipes, batches, augmentation, `fit`, callbacks and the run folder."""
