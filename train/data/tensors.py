"""Prepared pictures as tensors on a device."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from train.data.prepared_set import SIDE, Indices, Prepared

CPU = torch.device("cpu")


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


def at_size(photos: Tensor, size: int) -> Tensor:
    """Shrink squares.

    photos: uint8 (B, 3, S, S), RGB, S ≥ size.

    Returns uint8 (B, 3, size, size).
    """
    if photos.shape[-1] == size:
        return photos
    # antialias, as Pillow does in the service: without it the scores shift. On a GPU torch does
    # it for floats alone.
    x = photos.float() if photos.is_cuda else photos
    x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
    return x.round().clamp(0, 255).to(torch.uint8) if photos.is_cuda else x


def photos(prepared: Prepared, rows: Indices, device: torch.device = CPU) -> Tensor:
    """Read some rows: uint8 (B, 3, SIDE, SIDE), RGB, channels last in memory."""
    return _moved(prepared.pixels(rows), device)


def _moved(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    read = torch.from_numpy(np.ascontiguousarray(pixels))
    if device.type == "cuda":
        read = read.pin_memory()
    return read.to(device, non_blocking=True).permute(0, 3, 1, 2)
