"""Reduces a photograph to what a worker leaves in its slot, and tells how large that can be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
# An upright photograph as its decoder leaves it: of mode RGB, or uint8 (H, W, 3), RGB.
Picture = Image.Image | Pixels

_BILINEAR = Image.Resampling.BILINEAR


def image(photo: Picture) -> Image.Image:
    """Return a photograph as a Pillow image; an array is copied. photo: see `Picture`."""
    return photo if isinstance(photo, Image.Image) else Image.fromarray(photo)


def whole(photo: Picture, side: int) -> Pixels:
    """Resize the whole photograph to a square; its aspect ratio is lost.

    photo: see `Picture`.
    side: of the result, in pixels.

    Returns uint8 (side, side, 3), RGB.
    """
    # Pillow's bilinear filter antialiases, as torchvision's Resize(antialias=True) does on a Pillow
    # image: networks trained with that see the same pixels here.
    return np.asarray(image(photo).resize((side, side), _BILINEAR))


def reduced(photo: Picture, least: int) -> Pixels:
    """Shrink by an integer factor; the longer side keeps at least `least` pixels, if it has them.

    It keeps less than twice `least`. Means over whole pixels cost next to nothing.

    photo: see `Picture`.

    Returns uint8 (H, W, 3), RGB; an array that is small enough already is not copied.
    """
    longest = max(photo.size if isinstance(photo, Image.Image) else photo.shape[:2])
    factor = longest // least
    return np.asarray(image(photo).reduce(factor) if factor > 1 else photo)


@dataclass(frozen=True, slots=True)
class Reduction:
    """How a worker reduces a photograph.

    whole: whether to resize it to a square; if not, its aspect ratio is kept, for the locator.
    photo: the side of that square, in pixels; else the least that the longer side keeps, if it has
    as many.
    """

    photo: int
    whole: bool

    @property
    def least(self) -> int:
        """The pixels that the longer side must keep in decoding, see `decode`; 0: all."""
        return 0 if self.whole else self.photo

    @property
    def longest(self) -> int:
        """The most pixels that a side has once reduced."""
        return self.photo if self.whole else 2 * self.photo

    @property
    def most_bytes(self) -> int:
        """The most bytes that one reduced photograph takes."""
        return 3 * self.longest**2


def view(photo: Picture, wanted: Reduction) -> Pixels:
    """Return a photograph as the engine gets it, reduced: uint8 (H, W, 3), RGB."""
    if wanted.whole:
        return whole(photo, wanted.photo)
    return reduced(photo, wanted.photo)
