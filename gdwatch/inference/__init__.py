"""From decoded photographs to scores: model file, model, device, detection, crops, predictor."""
