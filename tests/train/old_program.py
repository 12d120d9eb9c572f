"""The network of the program that gdwatch replaces."""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn


class Old(nn.Module):
    """The network of the old program, as it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.conv2 = nn.Conv2d(32, 32, 3)
        self.conv3 = nn.Conv2d(32, 32, 3)
        self.conv4 = nn.Conv2d(32, 32, 3)
        self.conv5 = nn.Conv2d(32, 64, 3)
        self.conv6 = nn.Conv2d(64, 64, 3)
        self.conv7 = nn.Conv2d(64, 64, 3)
        self.conv8 = nn.Conv2d(64, 64, 3)
        self.fc1 = nn.Linear(1024, 512)
        self.fc2 = nn.Linear(512, 2)

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, 9):
            x = F.relu(getattr(self, f"conv{number}")(x))
            if number % 2 == 0:
                x = F.max_pool2d(x, 2)
        return F.log_softmax(self.fc2(self.fc1(x.flatten(1))), 1)


def old_weights() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return Old().state_dict()
