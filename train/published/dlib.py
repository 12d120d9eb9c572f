"""Initialise a `PooledClassifier` with the published weights of dlib's face recognition.

`dlib_face_recognition_resnet_model_v1.dat` (King 2017, CC0; in the package face-recognition-models)
is dlib's own serialization: an integer is a byte that counts its bytes, and these, little-endian; a
tensor is a 2, four integers (samples, k, rows, columns) and its float32. The file holds, from the
input on, for each convolution a tensor of its weights and biases, and one of the scales and offsets
of the affine layer after it, into which dlib has turned the batch norm.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gdwatch.errors import GdwatchError
from gdwatch.networks.pooled import PooledClassifier

MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)  # of the pictures that dlib trained on
STD = (256 / 255, 256 / 255, 256 / 255)
_BETWEEN = 4096  # bytes at most between two tensors: the layers' own settings


def load_weights(network: nn.Module, path: Path) -> None:
    """Load the published weights into the convolutions of a network; its head stays as it is.

    network: with dlib's widths and blocks, or with its first stages only.

    Raises GdwatchError if the file is not there, or is not that network's; TypeError if the network
    is none of dlib's kind.
    """
    if not isinstance(network, PooledClassifier):
        raise TypeError(f"not a pooled network: {type(network).__name__}")
    content = _read(path)
    convolutions = [each for each in network.features.modules() if isinstance(each, nn.Conv2d)]
    sizes = []
    for each in [network.stem, *convolutions]:
        sizes += [each.weight.numel() + each.out_channels, 2 * each.out_channels]
    found = _tensors(path, content, sizes)
    with torch.no_grad():
        for each in [network.stem, *convolutions]:
            weights, affine = next(found), next(found)
            scale, offset = affine[: each.out_channels], affine[each.out_channels :]
            assert each.bias is not None
            kernel = weights[: each.weight.numel()].view_as(each.weight)
            each.weight.copy_(kernel * scale.view(-1, 1, 1, 1))
            each.bias.copy_(weights[each.weight.numel() :] * scale + offset)


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal. Raises GdwatchError."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GdwatchError(
            f"{path}: {error.strerror}", "it is in the package face-recognition-models"
        ) from error


def _tensors(path: Path, content: bytes, sizes: list[int]) -> Iterator[torch.Tensor]:
    """The one-dimensional tensors of these sizes, in their order in the file."""
    at = 0
    for number, size in enumerate(sizes):
        header = b"".join(map(_integer, (2, size, 1, 1, 1)))
        start = content.find(header, at, None if number == 0 else at + _BETWEEN)
        end = start + len(header) + 4 * size
        if start < 0 or end > len(content):
            raise GdwatchError(
                f"{path}: tensor {number + 1} of {size} numbers is not there",
                "name dlib_face_recognition_resnet_model_v1.dat, and a recipe with its network",
            )
        values: NDArray[np.float32] = np.frombuffer(content, "<f4", size, start + len(header))
        yield torch.from_numpy(values.copy())
        at = end


def _integer(value: int) -> bytes:
    content = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return bytes([len(content)]) + content
