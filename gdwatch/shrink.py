"""What a worker leaves of a photograph; what the networks see of that: `crop` and `locator`."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
# An upright photograph as its decoder leaves it: of mode RGB, or uint8 (H, W, 3), RGB.
Picture = Image.Image | Pixels

_BILINEAR = Image.Resampling.BILINEAR


def image(photo: Picture) -> Image.Image:
    """Give a photograph to Pillow, which copies pixels. photo: see `Picture`."""
    return photo if isinstance(photo, Image.Image) else Image.fromarray(photo)


def whole(photo: Picture, side: int) -> Pixels:
    """Squeeze the whole picture into a square, whatever its shape.

    photo: see `Picture`.
    side: of the result, in pixels.

    Returns uint8 (side, side, 3), RGB.
    """
    # Pillow's bilinear filter widens when it shrinks, as torchvision's Resize(antialias=True)
    # does on a picture: networks trained with that see the same pixels here.
    return np.asarray(image(photo).resize((side, side), _BILINEAR))


def reduced(photo: Picture, least: int) -> Pixels:
    """Shrink by a whole factor, so that the longer side keeps `least` pixels if it has them.

    The means over whole pixels cost next to nothing; less than twice `least` are left.

    Returns uint8 (H, W, 3), RGB; what is small enough already is not copied if it is pixels.
    """
    longest = max(photo.size if isinstance(photo, Image.Image) else photo.shape[:2])
    factor = longest // least
    return np.asarray(image(photo).reduce(factor) if factor > 1 else photo)
