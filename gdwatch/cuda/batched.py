"""Makes the thumbnails and crops of a whole batch on a card, in a few operations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdwatch.inference.crop_geometry import Axis, Crop
from gdwatch.inference.detection import thumbnail_size
from gdwatch.inference.device import moved
from gdwatch.networks.locator import PADDING

# Added before rounding down. `resized` adds integers and rounds ties up; the float sums here miss
# ties by a little, so this is a little more than a half.
_HALF = 0.5 + 2**-11
_AT_ONCE_BYTES = 1 << 28  # of photographs as float32 that are resized together


def resized_together(photos: Sequence[Tensor], squares: Sequence[Crop], side: int) -> Tensor:
    """Cut a square out of each photograph and resize it, in a few operations for all of them.

    The filter is that of `resized`, whose weights are integers: one byte in 300 differs from its
    result by one level, and next to none by two.

    photos: each uint8 (H, W, 3), RGB, all on one device.
    squares: where to cut, one for each photograph.
    side: of the results, in pixels.

    Returns uint8 (N, 3, side, side) on that device, edge pixels repeated outside of a photograph.
    """
    parts = [
        photo[square.rows.seen, square.columns.seen]
        for photo, square in zip(photos, squares, strict=True)
    ]
    height, width = (max(part.shape[axis] for part in parts) for axis in (0, 1))
    at_once = max(1, _AT_ONCE_BYTES // (height * width * 3 * 4))
    results = []
    for start in range(0, len(parts), at_once):
        chunk = slice(start, start + at_once)
        planes = torch.zeros((len(parts[chunk]), height, 3, width), device=photos[0].device)
        for plane, part in zip(planes, parts[chunk], strict=True):
            plane[: part.shape[0], :, : part.shape[1]] = part.permute(0, 2, 1)
        rows = _weights([each.rows for each in squares[chunk]], side, height, planes.device)
        columns = _weights([each.columns for each in squares[chunk]], side, width, planes.device)
        # Vertically, then horizontally, rounded after each pass as in `resized`.
        short = torch.floor(rows @ planes.flatten(2) + _HALF)
        reduced = torch.floor(short.view(-1, 3 * side, width) @ columns.mT + _HALF)
        results.append(reduced.view(-1, side, 3, side).to(torch.uint8))
    return torch.cat(results).permute(0, 2, 1, 3)


def _weights(axes: Sequence[Axis], side: int, pixels: int, device: torch.device) -> Tensor:
    """Return the weight of each photograph pixel in each square pixel: float32 (N, side, pixels).

    The filter is a triangle, as in torch's `_upsample_bilinear2d_aa`. To each side it reaches one
    pixel of the square, or one of the photograph where that is larger.
    """
    extents = [
        (axis.seen.stop - axis.seen.start, axis.within.start, axis.within.stop) for axis in axes
    ]
    columns = moved(torch.tensor(extents, dtype=torch.float32), device)
    length, first, end = columns[:, :, None, None].unbind(1)
    source = torch.arange(pixels, device=device) + 0.5
    target = torch.arange(side, device=device)[:, None]
    position = torch.minimum(torch.maximum(target, first), end - 1) - first + 0.5
    scale = length / (end - first)
    distance = (source - position * scale).abs() / scale.clamp(min=1)
    weights = (1 - distance).clamp(min=0) * (source < length)
    return weights / weights.sum(2, keepdim=True)


def thumbnails_together(photos: Sequence[Tensor], side: int) -> Tensor:
    """Return thumbnails as `detection.thumbnails` does, for photographs on a device.

    photos: each uint8 (H, W, 3), RGB.
    side: of a thumbnail, in pixels.

    Returns uint8 (N, 3, side, side) on that device.
    """
    squares = [_thumbnail_square(photo.shape[0], photo.shape[1], side) for photo in photos]
    results = resized_together(photos, squares, side)
    ends = [(square.rows.count, square.columns.count) for square in squares]
    rows, columns = moved(torch.tensor(ends), results.device)[:, :, None].unbind(1)
    place = torch.arange(side, device=results.device)
    padding = (place >= rows)[:, None, :, None] | (place >= columns)[:, None, None]
    return results.masked_fill_(padding, PADDING)


def _thumbnail_square(height: int, width: int, side: int) -> Crop:
    """Return the square of a thumbnail, with repeated edge pixels where its padding will be."""
    rows, columns = thumbnail_size(height, width, side)
    return Crop(
        Axis(slice(0, rows), slice(0, height), side),
        Axis(slice(0, columns), slice(0, width), side),
    )
