"""Measures how sharp the crop of a face is, on any device."""

from functools import cache

import torch
from torch import Tensor


def sharpness(squares: Tensor) -> Tensor:
    """Return the variance of the Laplacian of luma (Pech-Pacheco et al. 2000).

    squares: uint8 (N, 3, side, side), RGB.

    Returns float32 (N,), on the same device.
    """
    luma = squares.permute(0, 2, 3, 1).float() @ _weights(squares.device)
    # In place, and without `var`, which on a CPU takes longer than all the rest.
    laplacian = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1]
    laplacian.add_(luma[:, 1:-1, :-2]).add_(luma[:, 1:-1, 2:]).sub_(luma[:, 1:-1, 1:-1], alpha=4)
    laplacian = laplacian.flatten(1)
    return laplacian.sub_(laplacian.mean(1, keepdim=True)).square_().mean(1)


@cache  # nothing can be copied to the card while a CUDA graph is captured
def _weights(device: torch.device) -> Tensor:
    """Return the weights of red, green and blue in luma (ITU-R BT.601): float32 (3,)."""
    return torch.tensor((0.299, 0.587, 0.114), device=device)
