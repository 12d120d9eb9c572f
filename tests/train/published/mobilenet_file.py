"""A file in the form of MobileNetV2's published weights."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import mobilenet_v2


def written(path: Path) -> None:
    """A file of random weights, by which what is seen gets neither small nor large."""
    torch.manual_seed(0)
    network = mobilenet_v2(weights=None)
    for each in network.features.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.kaiming_normal_(each.weight)
    torch.save(network.state_dict(), path)
