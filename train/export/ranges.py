"""Measure the range of each layer's activations on photographs, for quantisation to 8 bits.

The range is the largest over the photographs of a high quantile of the activations: without the
quantile, one outlier among thousands would make the quantisation of all others coarse.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from gdwatch.decode.reduce import Pixels
from gdwatch.errors import GdwatchError
from gdwatch.inference.model import Model
from gdwatch.inference.predictor import PlainPredictor
from gdwatch.networks.layers import Activations, Convolution, Layer, rectified
from gdwatch.networks.layers import replace as put
from gdwatch.networks.quantised import ranged

Network = TypeVar("Network", bound=nn.Module)

_SHARE = 0.9995  # the quantile of the activations of one photograph
_LEAST = 1e-6  # range of a layer whose activations are all 0


class _Watched(Convolution):
    """A layer with the range of its activations so far."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.layer = layer
        self.reached = _LEAST

    def forward(self, x: Tensor) -> Tensor:
        return self._seen(self.layer(x))

    def rectified(self, x: Activations, plus: Activations | None) -> Tensor:
        result = rectified(self.layer, x, plus)
        assert isinstance(result, Tensor)
        return self._seen(result)

    def _seen(self, result: Tensor) -> Tensor:
        each = result.flatten(1)
        most = each.kthvalue(max(1, round(_SHARE * each.shape[1])), 1).values.max()
        self.reached = max(self.reached, float(most))
        return result


def with_ranges(loaded: Model, batches: Iterable[Sequence[Pixels]]) -> Model:
    """The same model with the ranges of the layers that can be quantised.

    batches: photographs as for `PlainPredictor.judge`, some hundreds in all.

    Raises GdwatchError if there are no photographs.
    """
    predictor = PlainPredictor(loaded, torch.device("cpu"), borders=(), precision=torch.float32)
    predictor.classifier = _watched(loaded.classifier)
    watched: dict[str, nn.Module] = {"classifier": predictor.classifier}
    if predictor.finder is not None:
        # Those of the looks are fused already, and a fused layer cannot be watched.
        networks = (("locator", loaded.locator), ("closer", loaded.closer))
        for (name, network), look in zip(networks, predictor.finder.looks, strict=False):
            assert network is not None
            look.locator = watched[name] = _watched(network)
    seen = 0
    for photographs in batches:
        predictor.judge(photographs)
        seen += len(photographs)
    if not seen:
        raise GdwatchError("no photographs to find ranges by", "name those of `gdtrain prepare`")
    described = {
        name: getattr(loaded.details, name).model_copy(update={"ranges": _ranges(network) or None})
        for name, network in watched.items()
    }
    return replace(loaded, details=loaded.details.model_copy(update=described))


def _watched(network: Network) -> Network:
    watched = copy.deepcopy(network)
    names = set(ranged(watched))

    def watch(layer: Layer) -> nn.Module | None:
        is_ranged = layer.name in names
        return _Watched(layer.name, watched.get_submodule(layer.name)) if is_ranged else None

    put(watched, watch)
    return watched


def _ranges(network: nn.Module) -> dict[str, float]:
    layers = [each for each in network.modules() if isinstance(each, _Watched)]
    return {each.name: float(f"{each.reached:.4g}") for each in layers}
