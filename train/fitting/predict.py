"""The logits of a network for prepared pictures."""

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
    """The logits of `male` at an input of `size` pixels; returns (N,).

    network: in evaluation mode. cache: of the same pictures, where there is one.
    """
    device = next(network.parameters()).device
    cache = cache or PictureCache(prepared, CPU)
    with torch.inference_mode():
        parts = [
            network(shrink(cache.pixels(rows[at : at + _BATCH]).to(device), size))[:, 0]
            .float()
            .cpu()
            for at in range(0, len(rows), _BATCH)
        ]
    return torch.cat(parts).double().numpy()
