"""The neural networks: classifiers, the locator, their layers, and faster forms for service."""
