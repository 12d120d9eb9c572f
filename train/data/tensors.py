"""Prepared pictures as tensors on a device."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from train.data.prepared_set import Indices, Prepared

CPU = torch.device("cpu")


class PictureCache:
    """Prepared pictures as tensors on a device, kept in a GPU's memory where they fit."""

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        self._prepared, self._device = prepared, device
        self._there: Tensor | None = None
        if device.type == "cuda" and 2 * prepared.stored.nbytes < torch.cuda.mem_get_info()[0]:
            self._there = torch.from_numpy(np.asarray(prepared.stored)).to(device)

    def with_rim(self, rows: Indices) -> Tensor:
        """Read some rows with their rim: uint8 (B, 3, H, W), RGB, channels last in memory."""
        if self._there is None:
            return _moved(self._prepared.with_rim(rows), self._device)
        places = torch.from_numpy(self._prepared.places[rows]).to(self._device)
        return self._there[places].permute(0, 3, 1, 2)

    def pixels(self, rows: Indices) -> Tensor:
        """Read some rows without their rim: uint8 (B, 3, SIDE, W)."""
        down, across = self._prepared.inside
        return self.with_rim(rows)[:, :, down, across]


def shrink(photos: Tensor, size: int) -> Tensor:
    """Downsample pictures.

    photos: uint8 (B, 3, H, W), RGB, H ≥ size.

    Returns uint8 (B, 3, size, W * size / H).
    """
    height, width = photos.shape[-2:]
    if height == size:
        return photos
    # With antialiasing, as Pillow does in the service: without it the scores shift. On a GPU torch
    # can do that for floats only.
    x = photos.float() if photos.is_cuda else photos
    x = F.interpolate(x, (size, round(width * size / height)), mode="bilinear", antialias=True)
    return x.round().clamp(0, 255).to(torch.uint8) if photos.is_cuda else x


def read_pictures(prepared: Prepared, rows: Indices, device: torch.device = CPU) -> Tensor:
    """Read some rows: uint8 (B, 3, SIDE, W), RGB, channels last in memory."""
    return _moved(prepared.pixels(rows), device)


def _moved(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    read = torch.from_numpy(np.ascontiguousarray(pixels))
    if device.type == "cuda":
        read = read.pin_memory()
    return read.to(device, non_blocking=True).permute(0, 3, 1, 2)
