"""Convolutions in 8-bit integers, for service on a CPU (Jacob et al. 2018, arXiv:1712.05877).

Twice as fast as in floats. Sums of integers do not depend on the processor, the batch or the order
of addition. Activation ranges must have been measured on photographs: `ranges` in the model file.
"""

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from gdwatch.networks.layers import (
    Activations,
    Bytes,
    Convolution,
    Layer,
    Normalisation,
    layers,
    replace,
)

Network = TypeVar("Network", bound=nn.Module)

# Operations made for networks that torchao has quantised.
_ONEDNN: Any = torch.ops.onednn
_MAX_ACTIVATION = 255
# Weights are -64 to 64. A processor without VNNI adds two products in 16 bits, where 2 * 255 * 64
# just fits: with these weights, every processor gets the same sums.
MAX_WEIGHT = 64
_MIN_SCALE = 1e-12  # more than 0, because values are divided by their scale
_FAST_CAPABILITIES = {"AVX2", "AVX512"}


@runtime_checkable
class Quantisable(Protocol):
    """A network that can be quantised once its batch norms are folded.

    first_layer: the name of the layer that takes the pixels.
    float_layers: how the names of the layers begin whose results stay floats.
    normalisation: of the pixels that the first layer takes.
    """

    first_layer: str
    float_layers: tuple[str, ...]

    @property
    def normalisation(self) -> Normalisation:  # noqa: D102 - said above
        ...


@runtime_checkable
class HasFaceNetwork(Protocol):
    """A network of which only the part `face` can be quantised."""

    face: nn.Module


class Quantised(Convolution):
    """A convolution in 8-bit integers.

    relu: whether a ReLU follows the convolution.
    largest: the largest result, after shortcut and ReLU; None: results stay floats.
    normalisation: of the pixels, for the layer that takes them.
    """

    def __init__(
        self,
        convolution: nn.Conv2d,
        *,
        relu: bool,
        largest: float | None,
        normalisation: Normalisation | None = None,
    ) -> None:
        super().__init__()
        weight, bias = _weight_and_bias(convolution, normalisation)
        self.takes_pixels = normalisation is not None
        self.relu = relu
        self.bias = bias
        self.weight_scales = (weight.abs().amax((1, 2, 3)) / MAX_WEIGHT).clamp_min(_MIN_SCALE)
        self.weight_zeros = torch.zeros(len(weight), dtype=torch.int32)
        self.geometry = convolution.stride, convolution.padding, convolution.dilation, 1
        self.scale = None if largest is None else max(largest / _MAX_ACTIVATION, _MIN_SCALE)
        # `_operands` reorders it for oneDNN, once the first batch tells shape, scale and zero.
        self._weight = (weight / self.weight_scales.view(-1, 1, 1, 1)).round().to(torch.int8)
        self._is_reordered = False

    def forward(self, x: Bytes) -> Activations:
        """Convolve. Returns `Bytes`, or float (B, C', H', W') where results stay floats."""
        return self._run(x, "relu" if self.relu else "none")

    def rectified(self, x: Activations, plus: Activations | None) -> Activations:
        """As in `Convolution`; results that stay floats take no `plus`."""
        assert isinstance(x, Bytes)
        if plus is None:
            return self._run(x, "relu")
        assert isinstance(plus, Bytes)
        assert self.scale is not None
        sum_: Tensor = _ONEDNN.qconv2d_pointwise.binary(
            *self._operands(x), plus.values, self.bias, *self.geometry, self.scale, 0, torch.uint8,
            plus.scale, plus.zero, "sum", 1.0, "relu", [], "",
        )  # fmt: skip
        return Bytes(sum_, self.scale)

    def _run(self, x: Bytes, activation: str) -> Activations:
        dtype = torch.float32 if self.scale is None else torch.uint8
        result: Tensor = _ONEDNN.qconv2d_pointwise(
            *self._operands(x), self.bias, *self.geometry, self.scale or 1.0, 0, dtype,
            activation, [], "",
        )  # fmt: skip
        return result if self.scale is None else Bytes(result, self.scale)

    def _operands(self, x: Bytes) -> tuple[Any, ...]:
        if not self._is_reordered:
            self._weight = _ONEDNN.qconv_prepack(
                self._weight, self.weight_scales, x.scale, x.zero, *self.geometry, x.values.shape
            )
            self._is_reordered = True
        return x.values, x.scale, x.zero, self._weight, self.weight_scales, self.weight_zeros


class Rounded(nn.Module):
    """A ReLU that quantises floats. largest: the largest result."""

    def __init__(self, largest: float) -> None:
        super().__init__()
        self.scale = max(largest / _MAX_ACTIVATION, _MIN_SCALE)

    def forward(self, x: Tensor) -> Bytes:
        """x: float (B, C, H, W), channels last in memory."""
        values = x.div(self.scale).round_().clamp_(0, _MAX_ACTIVATION).to(torch.uint8)
        return Bytes(values, self.scale)


def _weight_and_bias(
    convolution: nn.Conv2d, normalisation: Normalisation | None
) -> tuple[Tensor, Tensor]:
    """Return weight and bias, float32; a normalisation is worked in, so that they take pixels."""
    weight = convolution.weight.detach().float()
    assert convolution.bias is not None
    bias = convolution.bias.detach().float()
    if normalisation is None:
        return weight, bias
    offset = normalisation.shift + normalisation.scale * normalisation.padding_value
    return (
        weight * normalisation.scale.view(3, 1, 1),
        bias + (weight * offset.view(3, 1, 1)).sum((1, 2, 3)),
    )


def ranged(network: nn.Module) -> list[str]:
    """Return the names of the layers that need ranges; none if it cannot be quantised."""
    if isinstance(network, HasFaceNetwork):
        return [f"face.{name}" for name in ranged(network.face)]
    is_folded = not any(isinstance(each, nn.BatchNorm2d) for each in network.modules())
    if not isinstance(network, Quantisable) or not is_folded:
        return []
    return [each.name for each in layers(network) if not each.name.startswith(network.float_layers)]


def quantise(network: Network, ranges: Mapping[str, float]) -> Network:
    """Return a copy that computes in 8-bit integers; it cannot be trained any more.

    ranges: the largest result of each layer in `ranged`, by name.
    """
    assert isinstance(network, Quantisable)
    normalisation = network.normalisation

    def quantised(layer: Layer) -> nn.Module:
        if layer.convolution is None:
            return Rounded(ranges[layer.name])
        return Quantised(
            layer.convolution,
            relu=layer.relu,
            largest=ranges.get(layer.name),
            normalisation=normalisation if layer.name == network.first_layer else None,
        )

    network = copy.deepcopy(network)
    replace(network, quantised)
    return network


@cache
def is_fast() -> bool:
    """Return whether torch and the processor compute in 8-bit integers, fast and rightly."""
    if torch.backends.cpu.get_cpu_capability() not in _FAST_CAPABILITIES:
        return False
    convolution = nn.Conv2d(32, 16, 3, padding=1)
    for parameter, value in zip(convolution.parameters(), (1.0, 0.0), strict=True):
        nn.init.constant_(parameter, value)
    largest = 32.0 * 9 * _MAX_ACTIVATION
    inputs, plus = (
        torch.full((1, channels, 3, 3), _MAX_ACTIVATION, dtype=torch.uint8).contiguous(
            memory_format=torch.channels_last
        )
        for channels in (32, 16)
    )
    layer = Quantised(convolution, relu=True, largest=2 * largest)
    exact = Quantised(convolution, relu=False, largest=None)
    try:
        sum_ = layer.rectified(Bytes(inputs, 1.0), Bytes(plus, largest / _MAX_ACTIVATION))
        floats = exact.forward(Bytes(inputs, 1.0, zero=128))
    except (AttributeError, RuntimeError, TypeError):  # another torch, with other operations
        return False
    assert isinstance(sum_, Bytes)
    assert isinstance(floats, Tensor)
    middle = 1, 1  # no padding among its 9 pixels
    corner = 0, 0  # 5 of its 9 pixels are padding
    sums = [int(sum_.values[0, 0, *at]) for at in (middle, corner)]
    products = [float(floats[0, 0, *at]) for at in (middle, corner)]
    wanted = [_MAX_ACTIVATION, round(_MAX_ACTIVATION * (1 + 4 / 9) / 2)]
    return sums == wanted and products == [32 * 9 * 127.0, 32 * 4 * 127.0]
