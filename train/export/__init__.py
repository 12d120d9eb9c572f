"""From a run to a model file: export, calibration, ranges, model card, old weights."""
