"""What a network says of prepared pictures."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdwatch.network import Classifier
from train.augment import at_size
from train.measures import Floats
from train.pictures import Prepared

_BATCH = 128
_CPU = torch.device("cpu")

Indices = NDArray[np.int64]


def logits(network: Classifier, prepared: Prepared, rows: Indices, size: int) -> Floats:
    """Ask a network in evaluation mode, at an input of `size` pixels; returns (N,)."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [
            network(at_size(photos(prepared, rows[at : at + _BATCH], device), size)).float().cpu()
            for at in range(0, len(rows), _BATCH)
        ]
    return torch.cat(parts).double().numpy()


def photos(prepared: Prepared, rows: Indices, device: torch.device = _CPU) -> Tensor:
    """Read some rows: uint8 (B, 3, SIDE, SIDE), RGB, channels last in memory."""
    read = torch.from_numpy(prepared.pixels(rows))
    if device.type == "cuda":
        read = read.pin_memory()
    return read.to(device, non_blocking=True).permute(0, 3, 1, 2)
