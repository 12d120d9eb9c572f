"""The operations of the networks, on floats and on 8-bit integers.

A network defines which operations run; the module in a convolution's place defines how: torch's own
in training, `fused` or `quantised` in service. Activations are float tensors or `Bytes`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Bytes:
    """An 8-bit quantised tensor: each value stands for `scale * (value - zero)`.

    values: uint8 (B, C, H, W), channels last in memory.
    """

    values: Tensor
    scale: float
    zero: int = 0

    @property
    def shape(self) -> torch.Size:
        """The shape of the values, as a tensor has it."""
        return self.values.shape


Activations = Tensor | Bytes  # a tensor: float (B, C, H, W)


class Convolution(nn.Module):
    """The base class of what replaces a convolution, with or without its ReLU, in service.

    takes_pixels: whether its input is raw pixels; its weights then include the normalisation.
    """

    takes_pixels = False

    def rectified(self, x: Activations, plus: Activations | None) -> Activations:
        """See the function `rectified`."""
        raise NotImplementedError


def rectified(
    convolution: nn.Module, x: Activations, plus: Activations | None = None
) -> Activations:
    """Return `relu(convolution(x) + plus)`.

    plus: the shortcut of a residual block, of the result's shape; it may be overwritten.
    """
    if isinstance(convolution, Convolution):
        return convolution.rectified(x, plus)
    result: Tensor = convolution(x)
    if plus is None:
        return torch.relu_(result)
    assert isinstance(plus, Tensor)
    return torch.relu_(result.add_(plus))


def takes_pixels(first: nn.Module) -> bool:
    """Return whether a network's first layer takes raw pixels, not normalised ones."""
    return isinstance(first, Convolution) and first.takes_pixels


def pixels(photos: Tensor, padding_value: int) -> Bytes:
    """Return photographs as the input of a first layer that takes raw pixels.

    photos: uint8 (B, 3, H, W), RGB.
    padding_value: as in `Normalisation`.
    """
    return Bytes(photos.contiguous(memory_format=torch.channels_last), 1.0, padding_value)


def padded(x: Activations, widths: Sequence[int]) -> Activations:
    """Pad with zeros. widths: as in `torch.nn.functional.pad`."""
    if isinstance(x, Tensor):
        return F.pad(x, list(widths))
    return Bytes(F.pad(x.values, list(widths), value=x.zero), x.scale, x.zero)


def halved(x: Activations) -> Activations:
    """Halve height and width: average pooling over 2 x 2."""
    if isinstance(x, Tensor):
        return F.avg_pool2d(x, 2)
    means = F.avg_pool2d(x.values.float(), 2)
    return Bytes(means.round_().to(torch.uint8), x.scale, x.zero)


def pooled(x: Activations) -> Activations:
    """Max pooling over 3 x 3 with a stride of 2."""
    if isinstance(x, Tensor):
        return F.max_pool2d(x, 3, stride=2)
    # torch's own max pooling counts positions in the dtype of the values, and uint8 ends at 255.
    return Bytes(_max_pooled(_max_pooled(x.values, 2), 3), x.scale, x.zero)


def _max_pooled(values: Tensor, dimension: int) -> Tensor:
    first, second, third = values.unfold(dimension, 3, 2).unbind(-1)
    return torch.maximum(torch.maximum(first, second), third)


def averaged(x: Activations) -> Tensor:
    """Return the mean of each channel (global average pooling): float (B, C)."""
    if isinstance(x, Tensor):
        return x.mean((2, 3))
    return x.values.mean((2, 3), dtype=torch.float32).sub_(x.zero).mul_(x.scale)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How a network normalises pixels: `scale * pixel + shift`.

    scale, shift: float (3,).
    padding_value: the pixel value that becomes 0, which is what a convolution pads with; 0 where
    the first layer pads nothing.
    """

    scale: Tensor
    shift: Tensor
    padding_value: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution, a ReLU, or a convolution followed by a ReLU in a network.

    name: the qualified name, as in `named_modules`.
    convolution: None for a ReLU alone.
    """

    name: str
    convolution: nn.Conv2d | None
    relu: bool


def layers(network: nn.Module, prefix: str = "") -> Iterator[Layer]:
    """Yield every layer of a network, but for those inside a `Convolution`.

    prefix: of the names.
    """
    for name, module in network.named_children():
        layer = _layer(prefix + name, module)
        if layer is not None:
            yield layer
        elif not isinstance(module, Convolution):
            yield from layers(module, f"{prefix}{name}.")


def replace(network: nn.Module, make: Callable[[Layer], nn.Module | None]) -> None:
    """Replace layers of a network in place. make: returns a replacement, or None to keep it."""
    for layer in list(layers(network)):
        made = make(layer)
        if made is not None:
            parent, _, name = layer.name.rpartition(".")
            setattr(network.get_submodule(parent), name, made)


def _layer(name: str, module: nn.Module) -> Layer | None:
    parts = list(module) if isinstance(module, nn.Sequential) else [module]
    parts = [part for part in parts if not isinstance(part, nn.Identity)]
    match parts:
        case [nn.Conv2d() as convolution]:
            return Layer(name, convolution, relu=False)
        case [nn.Conv2d() as convolution, nn.ReLU()]:
            return Layer(name, convolution, relu=True)
        case [nn.ReLU()]:
            return Layer(name, None, relu=True)
    return None
