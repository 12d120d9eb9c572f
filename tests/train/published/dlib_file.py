"""Files in the form of dlib's published weights."""

from pathlib import Path

import torch
from torch import nn

from gdwatch.networks.pooled import PooledClassifier


def integer(value: int) -> bytes:
    content = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "little")
    return bytes([len(content)]) + content


def tensor(values: torch.Tensor) -> bytes:
    dimensions = b"".join(map(integer, (2, values.numel(), 1, 1, 1)))
    return dimensions + values.numpy().astype("<f4").tobytes()


def written(path: Path, of: PooledClassifier) -> list[tuple[nn.Conv2d, torch.Tensor]]:
    """A file of random weights; returns each convolution before its affine layer, and that."""
    torch.manual_seed(1)
    content = b"\x01\x01\x01\x0dloss_metric_2 and more of the kind"
    layers = []
    for each in of.modules():
        if isinstance(each, nn.Conv2d):
            made = nn.Conv2d(each.in_channels, each.out_channels, each.kernel_size)  # type: ignore[arg-type]
            affine = torch.rand(2 * each.out_channels)
            weights = torch.cat((made.weight.detach().flatten(), made.bias.detach()))  # type: ignore[union-attr]
            content += tensor(weights) + b"\x01\x03\x01\x01con_4" + tensor(affine) + b"affine_"
            layers.append((made, affine))
    path.write_bytes(content + b"fc_no_bias")
    return layers
