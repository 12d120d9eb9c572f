"""What of each photograph the networks need, and so how large its place in memory is."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdwatch import shrink
from gdwatch.shrink import Picture, Pixels
from gdwatch.values import Crop

if TYPE_CHECKING:  # a decode worker has no use for what checks a model file
    from gdwatch.model_file import Details


# How much a face at the very limit of what the locator finds may be enlarged to the classifier's
# input: no measure shows it, and a photograph of 1280 pixels is decoded at half its size.
_ENLARGED = 1.2


@dataclass(frozen=True, slots=True)
class Layout:
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


def layout(details: "Details", crop: Crop) -> Layout:
    """Work out what the networks of a model need."""
    size = details.classifier.input
    if details.locator is None or details.preprocessing.margin is None or crop == "whole":
        return Layout(size, whole=True)
    # With this length, the smallest face that the locator can find still nearly fills the
    # classifier's input, as far as the file has the pixels.
    smallest = details.preprocessing.smallest_face / details.locator.input
    length = size / (details.preprocessing.margin * smallest * _ENLARGED)
    return Layout(math.ceil(length), whole=False)


def view(photo: Picture, wanted: Layout) -> Pixels:
    """Make what the engine gets of a photograph: uint8 (H, W, 3), RGB."""
    if wanted.whole:
        return shrink.whole(photo, wanted.photo)
    return shrink.reduced(photo, wanted.photo)
