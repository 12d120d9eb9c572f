"""What a worker leaves of a photograph, and so how large its place in memory is."""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Reduction:
    """What a worker leaves of a photograph.

    whole: all of it, squeezed into a square; else its shape is kept, for a locator to look at.
    photo: the side of that square; else the pixels that its longer side keeps at least, if it
    has them.
    """

    photo: int
    whole: bool

    @property
    def least(self) -> int:
        """The pixels of its longer side that a photograph must keep when decoded; 0: all."""
        return 0 if self.whole else self.photo

    @property
    def longest(self) -> int:
        """The most pixels that a side has."""
        return self.photo if self.whole else 2 * self.photo

    @property
    def most_bytes(self) -> int:
        """What one photograph takes if it is as large as it can be."""
        return 3 * self.longest**2


def view(photo: Picture, wanted: Reduction) -> Pixels:
    """Make what the engine gets of a photograph: uint8 (H, W, 3), RGB."""
    if wanted.whole:
        return whole(photo, wanted.photo)
    return reduced(photo, wanted.photo)
