"""From photographs to thumbnails, and from a locator's answer to faces."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.crop import resized
from gdwatch.inference.faces import Detection
from gdwatch.networks.locator import PADDING, STRIDE, UNIT
from gdwatch.values import Box

_CANDIDATES = 64  # cells looked at in one picture, the best ones
_OVERLAP = 0.4  # of two boxes, as intersection over union, that show one face


def thumbnails(photos: Sequence[Pixels], side: int, count: int | None = None) -> Tensor:
    """Show whole photographs to the locator, each in its own shape, in the upper left corner.

    photos: each uint8 (H, W, 3), RGB.
    count: how many squares to make, the last of them empty; by default one for each photograph.

    Returns uint8 (count, side, side, 3), RGB; grey beside the pictures.
    """
    squares = torch.full((count or len(photos), side, side, 3), PADDING, dtype=torch.uint8)
    for square, photo in zip(squares, photos, strict=False):
        height, width = photo.shape[:2]
        shape = thumbnail_size(height, width, side)
        square[: shape[0], : shape[1]] = resized(photo, *shape)
    return squares


def thumbnail_size(height: int, width: int, side: int) -> tuple[int, int]:
    """The height and width, in pixels, that a photograph of this height and width has there."""
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def scores_and_boxes(answer: Tensor) -> tuple[Tensor, Tensor]:
    """Read a locator's answer.

    answer: float (B, 5, h, w), as from `Locator`.

    Returns the scores, (B, h * w), 0 to 1, and the boxes, (B, h * w, 4): left, top, right and
    bottom in pixels of the thumbnail.
    """
    answer = answer.float()
    height, width = answer.shape[2:]
    rows = torch.arange(height, device=answer.device).view(1, -1, 1)
    columns = torch.arange(width, device=answer.device).view(1, 1, -1)
    boxes = _boxes(answer.unbind(1)[1:], rows, columns)
    return torch.sigmoid(answer[:, 0]).flatten(1), boxes.flatten(1, 2)


def _boxes(numbers: Sequence[Tensor], rows: Tensor, columns: Tensor) -> Tensor:
    """Corners (..., 4) of what cells say. numbers: x, y, width and height, as in the answer."""
    x, y = (columns + 0.5 + numbers[0]) * STRIDE, (rows + 0.5 + numbers[1]) * STRIDE
    half = [UNIT / 2 * torch.exp(each.clamp(-3, 3)) for each in numbers[2:]]
    return torch.stack((x - half[0], y - half[1], x + half[0], y + half[1]), -1)


def find(answer: Tensor, threshold: float) -> list[list[Detection]]:
    """The faces of each picture, the surest first, each once.

    answer: as for `scores_and_boxes`.
    threshold: the least score.
    """
    answer = answer.float().cpu()
    scores = torch.sigmoid(answer[:, 0])
    # Few cells are sure of a face: only these are looked at.
    pictures, rows, columns = (scores >= threshold).nonzero(as_tuple=True)
    numbers = answer[pictures, 1:, rows, columns].unbind(1)
    corners = _boxes(numbers, rows, columns).tolist()
    sure = scores[pictures, rows, columns].tolist()
    seen: list[list[tuple[float, list[float]]]] = [[] for _ in range(len(answer))]
    for picture, score, box in zip(pictures.tolist(), sure, corners, strict=True):
        seen[picture].append((score, box))
    for candidates in seen:
        candidates.sort(key=lambda each: -each[0])
    return [_distinct(candidates[:_CANDIDATES]) for candidates in seen]


def _distinct(candidates: Sequence[tuple[float, Sequence[float]]]) -> list[Detection]:
    """Each face once, of one picture's scores and corners, the surest first."""
    # Non-maximum suppression; to import torchvision's takes a second and 90 MB.
    kept: list[Box] = []
    faces: list[Detection] = []
    for score, (left, top, right, bottom) in candidates:
        box = Box(left, top, right - left, bottom - top)
        if any(overlap(other, box) > _OVERLAP for other in kept):
            continue
        kept.append(box)
        # A part of a face looks like a smaller face in the midst of it.
        if not any(_holds(face.box, (left + right) / 2, (top + bottom) / 2) for face in faces):
            faces.append(Detection(box, score))
    return faces


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


def _holds(box: Box, x: float, y: float) -> bool:
    return box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height
