"""Training a classifier: recipe, augmentation, epochs, checkpoints, several processes."""
