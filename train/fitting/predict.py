"""The answers of a network for prepared pictures."""

import numpy as np
import torch

from gdwatch.networks.classifier import Classifier
from train.data.prepared_set import Indices, Prepared
from train.data.tensors import CPU, PictureCache, shrink
from train.metrics import Floats

_BATCH = 128


def logits(
    network: Classifier,
    prepared: Prepared,
    rows: Indices,
    size: int,
    cache: PictureCache | None = None,
) -> Floats:
    """The logits of `male`, (N,), as `answers` gives them."""
    return answers(network, prepared, rows, size, cache)[:, 0]


def answers(
    network: Classifier,
    prepared: Prepared,
    rows: Indices,
    size: int,
    cache: PictureCache | None = None,
) -> Floats:
    """The logits of `male` and of nobody at an input of `size` pixels in height; (N, 2).

    network: in evaluation mode. cache: of the same pictures, where there is one.
    """
    if not len(rows):
        return np.zeros((0, 2))
    device = next(network.parameters()).device
    cache = cache or PictureCache(prepared, CPU)
    with torch.inference_mode():
        parts = [
            network(shrink(cache.pixels(rows[at : at + _BATCH]).to(device), size)).float().cpu()
            for at in range(0, len(rows), _BATCH)
        ]
    return torch.cat(parts).double().numpy()
