"""Thumbnails and crops of a whole batch, made on a card in a few operations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdwatch.inference.crop_geometry import Axis, Square
from gdwatch.inference.detection import thumbnail_size
from gdwatch.inference.device import moved
from gdwatch.networks.locator import PADDING

# To round by: torch's sums of whole numbers that lie between two levels go up, and these miss the
# middle by a little.
_HALF = 0.5 + 2**-11
_AT_ONCE_BYTES = 1 << 28  # of photographs as float32, when many are resized together


def resized_together(photos: Sequence[Tensor], squares: Sequence[Square], side: int) -> Tensor:
    """Cut squares out of photographs by the same filter, in a few operations for all of them.

    One byte in 300 differs by a level from what `resized` gives, and next to none by two: its
    weights are whole numbers.

    photos: each uint8 (H, W, 3), RGB, all on one device.
    squares: where to cut, one for each.

    Returns uint8 (N, 3, side, side) there, the edge repeated outside of a photograph.
    """
    parts = [
        photo[square.rows.seen, square.columns.seen]
        for photo, square in zip(photos, squares, strict=True)
    ]
    height, width = (max(part.shape[axis] for part in parts) for axis in (0, 1))
    at_once = max(1, _AT_ONCE_BYTES // (height * width * 3 * 4))
    made = []
    for start in range(0, len(parts), at_once):
        some = slice(start, start + at_once)
        planes = torch.zeros((len(parts[some]), height, 3, width), device=photos[0].device)
        for plane, part in zip(planes, parts[some], strict=True):
            plane[: part.shape[0], :, : part.shape[1]] = part.permute(0, 2, 1)
        rows = _weights([each.rows for each in squares[some]], side, height, planes.device)
        columns = _weights([each.columns for each in squares[some]], side, width, planes.device)
        # Down, then across, rounded after each as bytes are.
        low = torch.floor(rows @ planes.flatten(2) + _HALF)
        small = torch.floor(low.view(-1, 3 * side, width) @ columns.mT + _HALF)
        made.append(small.view(-1, side, 3, side).to(torch.uint8))
    return torch.cat(made).permute(0, 2, 1, 3)


def _weights(axes: Sequence[Axis], side: int, pixels: int, device: torch.device) -> Tensor:
    """What each pixel of a photograph counts in each of its square: float32 (N, side, pixels).

    A triangle, as in torch's `_upsample_bilinear2d_aa`: half as wide as two pixels of the square,
    or of the photograph where these are larger.
    """
    numbers = [
        (axis.seen.stop - axis.seen.start, axis.within.start, axis.within.stop) for axis in axes
    ]
    columns = moved(torch.tensor(numbers, dtype=torch.float32), device)
    length, first, end = columns[:, :, None, None].unbind(1)
    there = torch.arange(pixels, device=device) + 0.5
    here = torch.arange(side, device=device)[:, None]
    inside = torch.minimum(torch.maximum(here, first), end - 1) - first + 0.5
    scale = length / (end - first)
    distance = (there - inside * scale).abs() / scale.clamp(min=1)
    weights = (1 - distance).clamp(min=0) * (there < length)
    return weights / weights.sum(2, keepdim=True)


def thumbnails_together(photos: Sequence[Tensor], side: int) -> Tensor:
    """As `locator.thumbnails`, for photographs on a device: uint8 (N, 3, side, side) there.

    photos: each uint8 (H, W, 3), RGB.
    """
    squares = [_shown(photo.shape[0], photo.shape[1], side) for photo in photos]
    made = resized_together(photos, squares, side)
    ends = [(square.rows.count, square.columns.count) for square in squares]
    rows, columns = moved(torch.tensor(ends), made.device)[:, :, None].unbind(1)
    place = torch.arange(side, device=made.device)
    beside = (place >= rows)[:, None, :, None] | (place >= columns)[:, None, None]
    return made.masked_fill_(beside, PADDING)


def _shown(height: int, width: int, side: int) -> Square:
    """The square of a thumbnail, what is beside the photograph as its edge repeated."""
    rows, columns = thumbnail_size(height, width, side)
    return Square(Axis(slice(0, rows), slice(0, height)), Axis(slice(0, columns), slice(0, width)))
