"""Fuses a convolution and what follows it into one oneDNN operation, for service on a CPU.

Otherwise torch reorders the weights for every batch, and reads and writes each result again for a
residual sum and for a ReLU: on small networks, a sixth of the time.
"""

from typing import Any

import torch
from torch import Tensor, nn

from gdwatch.networks.layers import Activations, Convolution, Layer, replace

# Operations made for torch.compile; to use that itself would need a C++ compiler on the machine.
_ONEDNN: Any = torch.ops.mkldnn


class Fused(Convolution):
    """A trained convolution, with or without its ReLU, as one oneDNN operation.

    relu: whether a ReLU follows the convolution.
    """

    def __init__(self, convolution: nn.Conv2d, *, relu: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.relu = relu
        self._weight: Tensor | None = None  # in oneDNN's layout, from the first batch on

    def forward(self, x: Tensor) -> Tensor:
        """Convolve. x: float (B, C, H, W), channels last in memory; returns (B, C', H', W')."""
        return self._run(x, "relu" if self.relu else "none")

    def rectified(self, x: Activations, plus: Activations | None) -> Tensor:
        """As in `Convolution`; with `plus`, the result is `plus`, overwritten."""
        assert isinstance(x, Tensor)
        if plus is None:
            return self._run(x, "relu")
        sum_: Tensor = _ONEDNN._convolution_pointwise_.binary(
            plus, x, *self._weight_and_geometry(x), "add", 1.0, "relu", [], None
        )
        return sum_

    def _run(self, x: Tensor, activation: str) -> Tensor:
        result: Tensor = _ONEDNN._convolution_pointwise(
            x, *self._weight_and_geometry(x), activation, [], ""
        )
        return result

    def _weight_and_geometry(self, x: Tensor) -> tuple[Any, ...]:
        plain = self.convolution
        geometry = plain.padding, plain.stride, plain.dilation, plain.groups
        if self._weight is None or self._weight.dtype is not x.dtype:
            self._weight = _ONEDNN._reorder_convolution_weight(plain.weight, *geometry, x.shape)
        return self._weight, plain.bias, *geometry


def computes_in(precision: torch.dtype) -> bool:
    """Return whether this build of torch and this processor have the operations in `precision`."""
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
    """Replace each convolution with a `Fused` one, in place; it cannot be trained any more.

    Batch norms should be folded before: one that is not stays a layer of its own. Does nothing
    where oneDNN lacks the network's precision.
    """
    if computes_in(next(network.parameters()).dtype):
        replace(network, _fused)


def _fused(layer: Layer) -> Fused | None:
    if layer.convolution is None:
        return None
    return Fused(layer.convolution, relu=layer.relu)
