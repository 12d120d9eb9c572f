"""What the networks are made of, in whatever numbers they compute.

A network says what is done; what stands in a convolution's place says how: torch's own while it
learns, `fused` or `quantised` in service. Floats flow between these layers, or bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Bytes:
    """Numbers of 256 steps: each is `scale * (value - zero)`.

    values: uint8 (B, C, H, W), channels last in memory.
    """

    values: Tensor
    scale: float
    zero: int = 0

    @property
    def shape(self) -> torch.Size:
        """As of a tensor."""
        return self.values.shape


Activations = Tensor | Bytes  # a tensor: float (B, C, H, W)


class Convolution(nn.Module):
    """What stands in a convolution's place, or in that of one with its ReLU.

    takes_pixels: whether it sees photographs as they are: it has learnt to normalise them.
    """

    takes_pixels = False

    def rectified(self, x: Activations, plus: Activations | None) -> Activations:
        """As `rectified` below."""
        raise NotImplementedError


def rectified(
    convolution: nn.Module, x: Activations, plus: Activations | None = None
) -> Activations:
    """The ReLU of a convolution's result, and of what a short cut adds to it.

    plus: of the result's shape; it may be overwritten.
    """
    if isinstance(convolution, Convolution):
        return convolution.rectified(x, plus)
    result: Tensor = convolution(x)
    if plus is None:
        return torch.relu_(result)
    assert isinstance(plus, Tensor)
    return torch.relu_(result.add_(plus))


def takes_pixels(first: nn.Module) -> bool:
    """Whether a network's first layer sees photographs as they are."""
    return isinstance(first, Convolution) and first.takes_pixels


def pixels(photos: Tensor, padding_value: int) -> Bytes:
    """For such a layer. photos: uint8 (B, 3, H, W), RGB; padding_value: as in `Normalisation`."""
    return Bytes(photos.contiguous(memory_format=torch.channels_last), 1.0, padding_value)


def padded(x: Activations, widths: Sequence[int]) -> Activations:
    """Put zeros beside it. widths: as in `torch.nn.functional.pad`."""
    if isinstance(x, Tensor):
        return F.pad(x, list(widths))
    return Bytes(F.pad(x.values, list(widths), value=x.zero), x.scale, x.zero)


def halved(x: Activations) -> Activations:
    """The mean of every 2 x 2."""
    if isinstance(x, Tensor):
        return F.avg_pool2d(x, 2)
    means = F.avg_pool2d(x.values.float(), 2)
    return Bytes(means.round_().to(torch.uint8), x.scale, x.zero)


def pooled(x: Activations) -> Activations:
    """The largest of 3 x 3, at every other place."""
    if isinstance(x, Tensor):
        return F.max_pool2d(x, 3, stride=2)
    # torch numbers what it pools in the type of the values, and bytes end at 255.
    return Bytes(_largest(_largest(x.values, 2), 3), x.scale, x.zero)


def _largest(values: Tensor, dimension: int) -> Tensor:
    first, second, third = values.unfold(dimension, 3, 2).unbind(-1)
    return torch.maximum(torch.maximum(first, second), third)


def averaged(x: Activations) -> Tensor:
    """The mean of each channel, float (B, C)."""
    if isinstance(x, Tensor):
        return x.mean((2, 3))
    return x.values.mean((2, 3), dtype=torch.float32).sub_(x.zero).mul_(x.scale)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a network makes of pixels: `scale * pixel + shift`.

    scale, shift: float (3,). padding_value: the pixel that padding stands for, where it becomes 0.
    """

    scale: Tensor
    shift: Tensor
    padding_value: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution, a ReLU, or one after the other, as a network holds them.

    name: with those of what it is in, as in `named_modules`.
    """

    name: str
    convolution: nn.Conv2d | None
    relu: bool


def layers(network: nn.Module, within: str = "") -> Iterator[Layer]:
    """Every layer, none of them inside another."""
    for name, module in network.named_children():
        layer = _layer(within + name, module)
        if layer is not None:
            yield layer
        elif not isinstance(module, Convolution):
            yield from layers(module, f"{within}{name}.")


def replace(network: nn.Module, make: Callable[[Layer], nn.Module | None]) -> None:
    """Put something else in the place of each layer. make: returns None where it is to stay."""
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
