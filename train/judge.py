"""What a network says of prepared pictures."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from train.augment import at_size
from train.measures import Floats
from train.pictures import Prepared

_BATCH = 128

Indices = NDArray[np.int64]


def logits(network: nn.Module, prepared: Prepared, rows: Indices, size: int) -> Floats:
    """Ask a network in evaluation mode, at an input of `size` pixels; returns (N,)."""
    with torch.inference_mode():
        parts = [
            network(at_size(photos(prepared, rows[at : at + _BATCH]), size))
            for at in range(0, len(rows), _BATCH)
        ]
    return torch.cat(parts).double().numpy()


def photos(prepared: Prepared, rows: Indices) -> Tensor:
    """Read some rows: uint8 (B, 3, SIDE, SIDE), RGB, channels last in memory."""
    return torch.from_numpy(prepared.pixels[rows]).permute(0, 3, 1, 2)
