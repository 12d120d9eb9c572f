"""Convolutions in bytes instead of floats: for networks in service on a CPU (Jacob et al. 2018).

Twice as fast as in floats; and since whole numbers are added, the sums are the same whatever the
processor, the batch and the order. How large results get must have been seen on photographs before:
`ranges` in the model file. arXiv:1712.05877
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

# Made for networks that torchao has quantised.
_ONEDNN: Any = torch.ops.onednn
_STEPS = 255
# Of a weight, to each side. Where a processor has no VNNI, two products are added in 16 bits, and
# 2 * 255 * 64 just fits: so all get the same weights, and the same sums.
_WEIGHT_STEPS = 64
_LEAST = 1e-12  # a step, so that one can divide by it
_FAST = {"AVX2", "AVX512"}


@runtime_checkable
class Quantisable(Protocol):
    """A network that can be quantised: its norms are folded.

    normalisation: of the pixels; first: the layer that sees them; floats: those that leave floats.
    """

    first: str
    floats: tuple[str, ...]

    @property
    def normalisation(self) -> Normalisation:  # noqa: D102 - said above
        ...


class Quantised(Convolution):
    """A convolution in bytes.

    largest: what its results reach, sum and ReLU included; None: they stay floats.
    normalisation: of the pixels, for the layer that sees them.
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
        weight, bias = _numbers(convolution, normalisation)
        self.takes_pixels = normalisation is not None
        self.relu = relu
        self.bias = bias
        self.steps = (weight.abs().amax((1, 2, 3)) / _WEIGHT_STEPS).clamp_min(_LEAST)
        self.zeros = torch.zeros(len(weight), dtype=torch.int32)
        self.place = convolution.stride, convolution.padding, convolution.dilation, 1
        self.scale = None if largest is None else max(largest / _STEPS, _LEAST)
        # Laid out as oneDNN wants it when the first batch comes.
        self._weight = (weight / self.steps.view(-1, 1, 1, 1)).round().to(torch.int8)
        self._is_laid_out = False

    def forward(self, x: Bytes) -> Activations:
        """x: see `Bytes`. Returns as much, or float (B, C', H', W') where results stay floats."""
        return self._run(x, "relu" if self.relu else "none")

    def rectified(self, x: Activations, plus: Activations | None) -> Activations:
        """As in Convolution."""
        assert isinstance(x, Bytes)
        if plus is None:
            return self._run(x, "relu")
        assert isinstance(plus, Bytes)
        assert self.scale is not None
        sum_: Tensor = _ONEDNN.qconv2d_pointwise.binary(
            *self._what(x), plus.values, self.bias, *self.place, self.scale, 0, torch.uint8,
            plus.scale, plus.zero, "sum", 1.0, "relu", [], "",
        )  # fmt: skip
        return Bytes(sum_, self.scale)

    def _run(self, x: Bytes, then: str) -> Activations:
        dtype = torch.float32 if self.scale is None else torch.uint8
        result: Tensor = _ONEDNN.qconv2d_pointwise(
            *self._what(x), self.bias, *self.place, self.scale or 1.0, 0, dtype, then, [], ""
        )
        return result if self.scale is None else Bytes(result, self.scale)

    def _what(self, x: Bytes) -> tuple[Any, ...]:
        if not self._is_laid_out:
            self._weight = _ONEDNN.qconv_prepack(
                self._weight, self.steps, x.scale, x.zero, *self.place, x.values.shape
            )
            self._is_laid_out = True
        return x.values, x.scale, x.zero, self._weight, self.steps, self.zeros


class Rounded(nn.Module):
    """A ReLU from floats to bytes. largest: what its results reach."""

    def __init__(self, largest: float) -> None:
        super().__init__()
        self.scale = max(largest / _STEPS, _LEAST)

    def forward(self, x: Tensor) -> Bytes:
        """x: float (B, C, H, W), channels last in memory."""
        values = x.div(self.scale).round_().clamp_(0, _STEPS).to(torch.uint8)
        return Bytes(values, self.scale)


def _numbers(convolution: nn.Conv2d, normalisation: Normalisation | None) -> tuple[Tensor, Tensor]:
    """Weights and biases; with a normalisation, those that do as much to the pixels themselves."""
    weight = convolution.weight.detach().float()
    assert convolution.bias is not None
    bias = convolution.bias.detach().float()
    if normalisation is None:
        return weight, bias
    at_rest = normalisation.shift + normalisation.scale * normalisation.padding_value
    return (
        weight * normalisation.scale.view(3, 1, 1),
        bias + (weight * at_rest.view(3, 1, 1)).sum((1, 2, 3)),
    )


def ranged(network: nn.Module) -> list[str]:
    """The names of the layers whose ranges must be known; none where it cannot be quantised."""
    is_folded = not any(isinstance(each, nn.BatchNorm2d) for each in network.modules())
    if not isinstance(network, Quantisable) or not is_folded:
        return []
    return [each.name for each in layers(network) if not each.name.startswith(network.floats)]


def quantise(network: Network, ranges: Mapping[str, float]) -> Network:
    """A copy that computes in bytes; it cannot learn any more.

    ranges: what the results of each of its `ranged` layers reach.
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
            normalisation=normalisation if layer.name == network.first else None,
        )

    network = copy.deepcopy(network)
    replace(network, quantised)
    return network


@cache
def is_fast() -> bool:
    """Whether this build of torch and this processor have what it takes, and compute rightly."""
    if torch.backends.cpu.get_cpu_capability() not in _FAST:
        return False
    convolution = nn.Conv2d(32, 16, 3, padding=1)
    for numbers, value in zip(convolution.parameters(), (1.0, 0.0), strict=True):
        nn.init.constant_(numbers, value)
    largest = 32.0 * 9 * _STEPS
    most, plus = (
        torch.full((1, channels, 3, 3), _STEPS, dtype=torch.uint8).contiguous(
            memory_format=torch.channels_last
        )
        for channels in (32, 16)
    )
    layer = Quantised(convolution, relu=True, largest=2 * largest)
    exact = Quantised(convolution, relu=False, largest=None)
    try:
        sum_ = layer.rectified(Bytes(most, 1.0), Bytes(plus, largest / _STEPS))
        floats = exact.forward(Bytes(most, 1.0, zero=128))
    except (AttributeError, RuntimeError, TypeError):  # another torch, with other operations
        return False
    assert isinstance(sum_, Bytes)
    assert isinstance(floats, Tensor)
    middle = 1, 1  # which sees no padding
    corner = 0, 0  # four ninths of it
    sums = [int(sum_.values[0, 0, *at]) for at in (middle, corner)]
    products = [float(floats[0, 0, *at]) for at in (middle, corner)]
    wanted = [_STEPS, round(_STEPS * (1 + 4 / 9) / 2)]
    return sums == wanted and products == [32 * 9 * 127.0, 32 * 4 * 127.0]
