"""What of each photograph the networks need, and so how large its place in memory is."""

import math
from dataclasses import dataclass

from gdwatch.crop import Crop
from gdwatch.model_file import Details


@dataclass(frozen=True, slots=True)
class Layout:
    """What a worker leaves of a photograph.

    photo: with a thumbnail, the most pixels along its longer side; without, the side of the
    square that the whole picture is squeezed into.
    thumbnail: side of the locator's square, in pixels; 0 where no locator looks.
    """

    photo: int
    thumbnail: int


def layout(details: Details, crop: Crop) -> Layout:
    """Work out what the networks of a model need."""
    size = details.classifier.input
    if details.locator is None or details.preprocessing.margin is None or crop == "whole":
        return Layout(size, 0)
    # At this length, the smallest face that the locator can find still fills the classifier's
    # input, as far as the file has the pixels.
    smallest = details.preprocessing.smallest_face / details.locator.input
    return Layout(math.ceil(size / (details.preprocessing.margin * smallest)),
                  details.locator.input)  # fmt: skip
