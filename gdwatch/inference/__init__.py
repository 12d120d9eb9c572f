"""From pixels to scores: the model, its device, detection, crops, and the predictor."""
