"""What of a photograph the classifier sees: the one place for it, in training and in service.

What the locator sees stands in `detection`. Resampling is torch's, whose bytewise vectors beat
Pillow's.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.crop_geometry import Square, square_around, square_of
from gdwatch.values import Box


def face(photo: Pixels, box: Box, margin: float, side: int) -> Pixels:
    """Cut out a square round a face; where it leaves the picture, the edge is repeated.

    photo: uint8 (H, W, 3), RGB.
    box: of the face, in pixels of `photo`.
    margin: side of the square, as a multiple of the longer side of the box.

    Returns uint8 (side, side, 3), RGB.
    """
    height, width = photo.shape[:2]
    return _cut(photo, square_of(box, margin, side, width, height), side)


def around(photo: Pixels, side: int, margin: float = 1.0) -> Pixels:
    """The whole picture in the smallest square round it, the edge repeated: where no face is.

    photo, side: as in `face`.
    margin: side of the square, as a multiple of the picture's longer side.
    """
    height, width = photo.shape[:2]
    return _cut(photo, square_around(side, width, height, margin), side)


def _cut(photo: Pixels, square: "Square", side: int) -> Pixels:
    rows, columns = square.rows, square.columns
    inside: Pixels = resized(photo[rows.seen, columns.seen], rows.count, columns.count).numpy()
    if columns.count == rows.count == side:
        return inside
    pixels = np.empty((side, side, 3), np.uint8)
    across, down = columns.within, rows.within
    pixels[down, across] = inside
    pixels[down, : across.start] = pixels[down, across.start, None]
    pixels[down, across.stop :] = pixels[down, across.stop - 1, None]
    pixels[: down.start] = pixels[down.start]
    pixels[down.stop :] = pixels[down.stop - 1]
    return pixels


def resized(pixels: Pixels, height: int, width: int) -> Tensor:
    """Resize by the bilinear filter, which widens when it shrinks, as Pillow's does.

    pixels: uint8 (H, W, 3), RGB; a part of a photograph need not be copied.

    Returns uint8 (height, width, 3).
    """
    photo = torch.from_numpy(np.require(pixels, requirements="W"))
    # With these strides it is channels_last to torch, and so is what comes out: pixel by pixel.
    planes = photo[None].permute(0, 3, 1, 2)
    # Down first: across costs more, and then there are fewer rows. torch would begin with it.
    for shape in ((height, planes.shape[3]), (height, width)):
        planes = F.interpolate(planes, shape, mode="bilinear", antialias=True)
    return planes[0].permute(1, 2, 0)
