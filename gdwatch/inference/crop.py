"""Cuts out the squares that the classifier sees, for training and service alike.

`detection` makes what the locator sees. Resampling is torch's, whose vectorised kernels for uint8
are faster than Pillow's.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.crop_geometry import Square, square_around, square_of
from gdwatch.values import Box


def face(photo: Pixels, box: Box, margin: float, side: int) -> Pixels:
    """Cut out a square around a face; outside of the photograph, its edge pixels are repeated.

    photo: uint8 (H, W, 3), RGB.
    box: of the face, in pixels of `photo`.
    margin: side of the square, as a multiple of the longer side of the box.
    side: of the result, in pixels.

    Returns uint8 (side, side, 3), RGB.
    """
    height, width = photo.shape[:2]
    return _cut(photo, square_of(box, margin, side, width, height), side)


def around(photo: Pixels, side: int, margin: float = 1.0) -> Pixels:
    """Cut out a square around the whole photograph, edge pixels repeated: if it has no face.

    photo, side: as in `face`.
    margin: side of the square, as a multiple of the longer side of the photograph.

    Returns uint8 (side, side, 3), RGB.
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
    """Resize by bilinear interpolation with antialiasing, as Pillow does.

    pixels: uint8 (H, W, 3), RGB; may be a view into a larger photograph.

    Returns uint8 (height, width, 3).
    """
    photo = torch.from_numpy(np.require(pixels, requirements="W"))
    # To torch, these strides are channels_last, and so is its result: RGB stays interleaved.
    planes = photo[None].permute(0, 3, 1, 2)
    # Vertically first: the horizontal pass costs more, and then has fewer rows. torch alone
    # would begin with the horizontal one.
    for shape in ((height, planes.shape[3]), (height, width)):
        planes = F.interpolate(planes, shape, mode="bilinear", antialias=True)
    return planes[0].permute(1, 2, 0)
