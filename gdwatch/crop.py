"""What of a photograph the classifier sees: the one place for it, in training and in service."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Crop = Literal["face", "whole"]
Pixels = NDArray[np.uint8]


def whole(photo: Image.Image, side: int) -> Pixels:
    """Squeeze the whole picture into a square, whatever its shape.

    photo: mode RGB, upright.
    side: of the result, in pixels.

    Returns uint8 (side, side, 3), RGB.
    """
    # Pillow's bilinear filter widens when it shrinks, as torchvision's Resize(antialias=True)
    # does on a picture: networks trained with that see the same pixels here.
    return np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR))
