"""Networks alone: layers, classifiers, the locator, and how they compute in service."""
