"""What of each photograph the networks need, and so how large its place in memory is."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gdwatch import crop
from gdwatch.crop import Crop, Picture, Pixels

if TYPE_CHECKING:  # a decode worker has no use for what checks a model file
    from gdwatch.model_file import Details


# How much a face at the very limit of what the locator finds may be enlarged to the classifier's
# input: no measure shows it, and a photograph of 1280 pixels is decoded at half its size.
_ENLARGED = 1.2


@dataclass(frozen=True, slots=True)
class Layout:
    """What a worker leaves of a photograph.

    photo: with a thumbnail, the pixels that its longer side keeps at least, if it has them;
    without, the side of the square that the whole picture is squeezed into.
    thumbnail: side of the locator's square, in pixels; 0 where no locator looks.
    """

    photo: int
    thumbnail: int

    @property
    def least(self) -> int:
        """The pixels of its longer side that a photograph must keep when decoded; 0: all."""
        return self.photo if self.thumbnail else 0

    @property
    def longest(self) -> int:
        """The most pixels that a side of `Views.photo` has."""
        return 2 * self.photo if self.thumbnail else self.photo

    @property
    def most_bytes(self) -> int:
        """What one photograph takes if it is as large as it can be."""
        return 3 * (self.longest**2 + self.thumbnail**2)


@dataclass(frozen=True, slots=True)
class Views:
    """What the networks get of one photograph.

    photo: uint8 (H, W, 3), RGB: what faces are cut from, or the whole picture squeezed.
    thumbnail: uint8 (side, side, 3), RGB, for the locator; without one, side is 0.
    """

    photo: Pixels
    thumbnail: Pixels


def layout(details: "Details", crop: Crop) -> Layout:
    """Work out what the networks of a model need."""
    size = details.classifier.input
    if details.locator is None or details.preprocessing.margin is None or crop == "whole":
        return Layout(size, 0)
    # With this length, the smallest face that the locator can find still nearly fills the
    # classifier's input, as far as the file has the pixels.
    smallest = details.preprocessing.smallest_face / details.locator.input
    length = size / (details.preprocessing.margin * smallest * _ENLARGED)
    return Layout(math.ceil(length), details.locator.input)


def views(photo: Picture, wanted: Layout) -> Views:
    """Make what the networks get of a photograph."""
    if not wanted.thumbnail:
        return Views(crop.whole(photo, wanted.photo), np.zeros((0, 0, 3), np.uint8))
    pixels = crop.reduced(photo, wanted.photo)
    return Views(pixels, crop.thumbnail(pixels, wanted.thumbnail))
