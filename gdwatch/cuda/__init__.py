"""Inference on a CUDA card: streams, graphs, resampling of whole batches, predictor, self-test."""
