"""How sharp the crop of a face is, on whatever device it lies."""

from functools import cache

import torch
from torch import Tensor


def sharpness(squares: Tensor) -> Tensor:
    """The variance of the Laplacian of luma (Pech-Pacheco et al. 2000).

    squares: uint8 (N, 3, side, side), RGB.

    Returns float32 (N,), on the same device.
    """
    luma = squares.permute(0, 2, 3, 1).float() @ _weights(squares.device)
    # In place, and not by `var`, which on a CPU takes longer than all the rest.
    laplacian = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1]
    laplacian.add_(luma[:, 1:-1, :-2]).add_(luma[:, 1:-1, 2:]).sub_(luma[:, 1:-1, 1:-1], alpha=4)
    laplacian = laplacian.flatten(1)
    return laplacian.sub_(laplacian.mean(1, keepdim=True)).square_().mean(1)


@cache  # while CUDA records a graph, nothing can be copied to the card
def _weights(device: torch.device) -> Tensor:
    """Of red, green and blue (Rec. 601): float32 (3,)."""
    return torch.tensor((0.299, 0.587, 0.114), device=device)
