"""Weights of 8 bits in a model file: as exact as a processor computes, in a quarter of the room.

A convolution's weights are stored as int8, one scale for each output channel in a tensor beside
them. The largest weight of a channel becomes `MAX_WEIGHT`, as in `quantised`, so a network that
computes in bytes computes with exactly the weights that are stored. What is no convolution, biases
and small tensors, is stored as float16.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from gdwatch.inference.model_file import SCALE
from gdwatch.networks.quantised import MAX_WEIGHT

_DIMENSIONS = 4  # of a convolution's weights
_LEAST = 1e-12  # of a scale: weights are divided by it


def stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 tensors as they are stored, with the scales of those of int8."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dim() != _DIMENSIONS:
            found[name] = tensor.to(torch.float16)
            continue
        # Depthwise convolutions are computed in floats, and have few weights: all 8 bits.
        most = MAX_WEIGHT if tensor.shape[1] > 1 else 127
        scale = (tensor.abs().amax((1, 2, 3)) / most).clamp_min(_LEAST)
        found[name] = (tensor / scale.view(-1, 1, 1, 1)).round().to(torch.int8)
        found[name + SCALE] = scale
    return found


def floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return stored tensors as float32, those of int8 times their scales."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in tensors:
            continue
        scale = tensors.get(name + SCALE)
        if tensor.dtype is torch.int8 and scale is not None:
            shape = (-1, *(1 for _ in range(tensor.dim() - 1)))
            found[name] = tensor.float() * scale.float().view(shape)
        else:
            found[name] = tensor.float()
    return found
