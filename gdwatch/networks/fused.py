"""A convolution and what follows it as one operation of oneDNN: for networks in service on a CPU.

Left alone, torch lays out the weights anew for every batch, and goes over each result again for a
sum and for a ReLU: on small networks, a sixth of the time.
"""

from typing import Any

import torch
from torch import Tensor, nn

from gdwatch.networks.layers import Activations, Convolution, Layer, replace

# Made for torch.compile, which itself needs a C++ compiler on the machine.
_ONEDNN: Any = torch.ops.mkldnn


class Fused(Convolution):
    """A convolution that has learnt all that it will.

    relu: whether what is negative becomes 0.
    """

    def __init__(self, convolution: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.relu = relu
        self._weight: Tensor | None = None  # laid out for the first batch that it sees

    def forward(self, x: Tensor) -> Tensor:
        """x: float (B, C, H, W), channels last in memory; returns (B, C', H', W')."""
        return self._run(x, "relu" if self.relu else "none")

    def rectified(self, x: Activations, plus: Activations | None) -> Tensor:
        """As in Convolution; what it returns is `plus`, overwritten."""
        assert isinstance(x, Tensor)
        if plus is None:
            return self._run(x, "relu")
        sum_: Tensor = _ONEDNN._convolution_pointwise_.binary(
            plus, x, *self._how(x), "add", 1.0, "relu", [], None
        )
        return sum_

    def _run(self, x: Tensor, then: str) -> Tensor:
        result: Tensor = _ONEDNN._convolution_pointwise(x, *self._how(x), then, [], "")
        return result

    def _how(self, x: Tensor) -> tuple[Any, ...]:
        own = self.convolution
        place = own.padding, own.stride, own.dilation, own.groups
        if self._weight is None or self._weight.dtype is not x.dtype:
            self._weight = _ONEDNN._reorder_convolution_weight(own.weight, *place, x.shape)
        return self._weight, own.bias, *place


def computes_in(precision: torch.dtype) -> bool:
    """Whether oneDNN has these operations, in this build of torch and on this processor."""
    if not hasattr(_ONEDNN, "_convolution_pointwise"):
        return False
    match precision:
        case torch.float32:
            return True
        case torch.bfloat16:
            return bool(_ONEDNN._is_mkldnn_bf16_supported())
        case torch.float16:
            return bool(_ONEDNN._is_mkldnn_fp16_supported())
    return False


def fuse(network: nn.Module) -> None:
    """Prepare a network whose batch norms are folded for service; it cannot learn any more.

    Does nothing where oneDNN has nothing for the network's precision.
    """
    if computes_in(next(network.parameters()).dtype):
        replace(network, _fused)


def _fused(layer: Layer) -> Fused | None:
    if layer.convolution is None:
        return None
    return Fused(layer.convolution, relu=layer.relu)
