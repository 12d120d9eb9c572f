"""Cuts out what the classifiers see, for training and service alike.

`detection` makes what the locator sees. Resampling is torch's, whose vectorised kernels for uint8
are faster than Pillow's.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.crop_geometry import (
    Crop,
    square_around,
    square_of,
    surroundings_around,
    surroundings_of,
)
from gdwatch.values import Box

_LEAST_TILT = 5.0  # degrees; the classifiers have learnt to see through less
_DIAGONAL = 1.42  # of a square, in sides: what a square may show when it is turned


def face(photo: Pixels, box: Box, margin: float, side: int) -> Pixels:
    """Cut out a square around a face; outside of the photograph, its edge pixels are repeated.

    photo: uint8 (H, W, 3), RGB.
    box: of the face, in pixels of `photo`.
    margin: side of the square, as a multiple of the longer side of the box.
    side: of the result, in pixels.

    Returns uint8 (side, side, 3), RGB.
    """
    height, width = photo.shape[:2]
    return _cut(photo, square_of(box, margin, side, width, height))


def upright(photo: Pixels, box: Box, tilt: float, margin: float, side: int) -> Pixels:
    """Cut out a square around a face, turned so that the face is upright.

    photo, box, margin, side: as in `face`.
    tilt: of the face, in degrees clockwise; one smaller than `_LEAST_TILT` is left as it is.

    Returns uint8 (side, side, 3), RGB.
    """
    if abs(tilt) < _LEAST_TILT:
        return face(photo, box, margin, side)
    wide = round(side * _DIAGONAL)
    square = torch.from_numpy(face(photo, box, margin * wide / side, wide)).permute(2, 0, 1)
    angle, scale = math.radians(tilt), side / wide
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    grid = F.affine_grid(
        torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]]), [1, 3, side, side], align_corners=False
    )
    turned = F.grid_sample(square[None].float(), grid, align_corners=False)
    return turned[0].permute(1, 2, 0).round_().to(torch.uint8).numpy()


def surroundings(photo: Pixels, box: Box | None, margin: float = 1.0) -> Pixels:
    """Cut out a face with head, shoulders and body, edge pixels repeated.

    photo: as in `face`.
    box: of the face, in pixels of `photo`; None: the whole photograph.
    margin: side of the crop and of what it shows, as a multiple of the usual ones.

    Returns uint8 (128, 80, 3), RGB, by default: `SURROUNDINGS`.
    """
    height, width = photo.shape[:2]
    if box is None:
        return _cut(photo, surroundings_around(width, height, margin))
    return _cut(photo, surroundings_of(box, width, height, margin))


def around(photo: Pixels, side: int, margin: float = 1.0) -> Pixels:
    """Cut out a square around the whole photograph, edge pixels repeated: if it has no face.

    photo, side: as in `face`.
    margin: side of the square, as a multiple of the longer side of the photograph.

    Returns uint8 (side, side, 3), RGB.
    """
    height, width = photo.shape[:2]
    return _cut(photo, square_around(side, width, height, margin))


def _cut(photo: Pixels, crop: Crop) -> Pixels:
    rows, columns = crop.rows, crop.columns
    inside: Pixels = resized(photo[rows.seen, columns.seen], rows.count, columns.count).numpy()
    if (rows.count, columns.count) == (rows.side, columns.side):
        return inside
    pixels = np.empty((rows.side, columns.side, 3), np.uint8)
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
