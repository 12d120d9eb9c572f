"""What a network says of prepared pictures."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdwatch.networks.classifier import Classifier
from train.data.prepared_set import SIDE, Prepared
from train.fitting.augment import at_size
from train.metrics import Floats

_BATCH = 128
_CPU = torch.device("cpu")

Indices = NDArray[np.int64]


class Album:
    """Prepared pictures, to be read many times: on a GPU from its own memory where they fit."""

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        self._prepared, self._device = prepared, device
        self._there: Tensor | None = None
        if device.type == "cuda" and 2 * prepared.stored.nbytes < torch.cuda.mem_get_info()[0]:
            self._there = torch.from_numpy(np.asarray(prepared.stored)).to(device)

    def framed(self, rows: Indices) -> Tensor:
        """Read some rows with their rim: uint8 (B, 3, S, S), RGB, channels last in memory."""
        if self._there is None:
            return _moved(self._prepared.framed(rows), self._device)
        places = torch.from_numpy(self._prepared.places[rows]).to(self._device)
        return self._there[places].permute(0, 3, 1, 2)

    def squares(self, rows: Indices) -> Tensor:
        """Read some rows without it: uint8 (B, 3, SIDE, SIDE)."""
        inside = slice(self._prepared.rim, self._prepared.rim + SIDE)
        return self.framed(rows)[:, :, inside, inside]


def logits(
    network: Classifier, prepared: Prepared, rows: Indices, size: int, album: Album | None = None
) -> Floats:
    """Ask a network in evaluation mode, at an input of `size` pixels; returns (N,).

    album: of the same pictures, where there is one.
    """
    device = next(network.parameters()).device
    album = album or Album(prepared, _CPU)
    with torch.inference_mode():
        parts = [
            network(at_size(album.squares(rows[at : at + _BATCH]).to(device), size)).float().cpu()
            for at in range(0, len(rows), _BATCH)
        ]
    return torch.cat(parts).double().numpy()


def photos(prepared: Prepared, rows: Indices, device: torch.device = _CPU) -> Tensor:
    """Read some rows: uint8 (B, 3, SIDE, SIDE), RGB, channels last in memory."""
    return _moved(prepared.pixels(rows), device)


def _moved(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    read = torch.from_numpy(np.ascontiguousarray(pixels))
    if device.type == "cuda":
        read = read.pin_memory()
    return read.to(device, non_blocking=True).permute(0, 3, 1, 2)
