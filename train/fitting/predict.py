"""The logits of a network for prepared pictures."""

import torch

from gdwatch.networks.classifier import Classifier
from train.data.prepared_set import Indices, Prepared
from train.data.tensors import CPU, Album, at_size
from train.metrics import Floats

_BATCH = 128


def logits(
    network: Classifier, prepared: Prepared, rows: Indices, size: int, album: Album | None = None
) -> Floats:
    """Ask a network in evaluation mode, at an input of `size` pixels; returns (N,).

    album: of the same pictures, where there is one.
    """
    device = next(network.parameters()).device
    album = album or Album(prepared, CPU)
    with torch.inference_mode():
        parts = [
            network(at_size(album.squares(rows[at : at + _BATCH]).to(device), size)).float().cpu()
            for at in range(0, len(rows), _BATCH)
        ]
    return torch.cat(parts).double().numpy()
