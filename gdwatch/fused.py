"""A convolution and what follows it as one operation of oneDNN: for networks in service on a CPU.

Left alone, torch lays out the weights anew for every batch, and goes over each result again for a
sum and for a ReLU: on small networks, a sixth of the time.
"""

from typing import Any

import torch
from torch import Tensor, nn

# Made for torch.compile, which itself needs a C++ compiler on the machine.
_ONEDNN: Any = torch.ops.mkldnn


class Fused(nn.Module):
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
        then = "relu" if self.relu else "none"
        result: Tensor = _ONEDNN._convolution_pointwise(x, *self._how(x), then, [], "")
        return result

    def rectified(self, x: Tensor, plus: Tensor) -> Tensor:
        """As `rectified` below; what it returns is `plus`, overwritten."""
        sum_: Tensor = _ONEDNN._convolution_pointwise_.binary(
            plus, x, *self._how(x), "add", 1.0, "relu", [], None
        )
        return sum_

    def _how(self, x: Tensor) -> tuple[Any, ...]:
        own = self.convolution
        place = own.padding, own.stride, own.dilation, own.groups
        if self._weight is None or self._weight.dtype is not x.dtype:
            self._weight = _ONEDNN._reorder_convolution_weight(own.weight, *place, x.shape)
        return self._weight, own.bias, *place


def rectified(convolution: nn.Module, x: Tensor, plus: Tensor | None = None) -> Tensor:
    """The ReLU of a convolution's result, and of what a short cut adds to it.

    x: float (B, C, H, W). plus: of the result's shape; it may be overwritten.
    """
    if plus is None:
        return torch.relu_(convolution(x))
    if isinstance(convolution, Fused):
        return convolution.rectified(x, plus)
    result: Tensor = convolution(x)
    return torch.relu_(result.add_(plus))


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
    if not computes_in(next(network.parameters()).dtype):
        return
    for parent in list(network.modules()):
        for name, module in parent.named_children():
            fused = None if isinstance(parent, Fused) else _fused(module)
            if fused is not None:
                setattr(parent, name, fused)


def _fused(module: nn.Module) -> Fused | None:
    """A convolution, or one with its ReLU; None if it is something else."""
    layers = list(module) if isinstance(module, nn.Sequential) else [module]
    layers = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    if not layers or type(layers[0]) is not nn.Conv2d:
        return None
    match [type(layer) for layer in layers[1:]]:
        case []:
            return Fused(layers[0], relu=False)
        case [nn.ReLU]:
            return Fused(layers[0], relu=True)
    return None
