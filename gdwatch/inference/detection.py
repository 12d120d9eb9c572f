"""Makes thumbnails for the locator, and reads faces from its output."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.crop import resized
from gdwatch.inference.faces import Detection
from gdwatch.networks.locator import LANDMARKS, PADDING, STRIDE, UNIT
from gdwatch.values import Box

_CANDIDATES = 64  # cells of one photograph that are considered, those of the highest scores
# Eyes, nose and corners of the mouth of an upright face, round their mean, in any unit: the usual
# template of face recognition (Deng et al. 2019, arXiv:1801.07698).
_UPRIGHT = ((-17.7, -20.2), (17.5, -20.4), (0.0, -0.2), (-14.5, 20.5), (14.7, 20.3))
_OVERLAP = 0.4  # intersection over union above which two boxes show the same face


def thumbnails(photos: Sequence[Pixels], side: int, count: int | None = None) -> Tensor:
    """Return thumbnails of whole photographs: aspect ratio kept, in the upper left corner.

    photos: each uint8 (H, W, 3), RGB.
    side: of a thumbnail, in pixels.
    count: how many thumbnails to make; those beyond the photographs are empty. By default, one for
    each photograph.

    Returns uint8 (count, side, side, 3), RGB, padded with grey.
    """
    squares = torch.full((count or len(photos), side, side, 3), PADDING, dtype=torch.uint8)
    for square, photo in zip(squares, photos, strict=False):
        height, width = photo.shape[:2]
        shape = thumbnail_size(height, width, side)
        square[: shape[0], : shape[1]] = resized(photo, *shape)
    return squares


def thumbnail_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the height and width of a photograph on its thumbnail, in pixels.

    height, width: of the photograph, in pixels.
    """
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def scores_and_boxes(answer: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores and boxes of all cells in a locator's output.

    answer: float (B, 5 or 15, h, w), as from `Locator`.

    Returns the scores, (B, h * w), 0 to 1, and the boxes, (B, h * w, 4): left, top, right and
    bottom in pixels of the thumbnail.
    """
    answer = answer.float()
    height, width = answer.shape[2:]
    rows = torch.arange(height, device=answer.device).view(1, -1, 1)
    columns = torch.arange(width, device=answer.device).view(1, 1, -1)
    boxes = _boxes(answer.unbind(1)[1:5], rows, columns)
    return torch.sigmoid(answer[:, 0]).flatten(1), boxes.flatten(1, 2)


def _boxes(numbers: Sequence[Tensor], rows: Tensor, columns: Tensor) -> Tensor:
    """Return the corners (..., 4) of the boxes of cells.

    numbers: x, y, width and height of each box, as in the locator's output.
    rows, columns: of each cell.
    """
    x, y = (columns + 0.5 + numbers[0]) * STRIDE, (rows + 0.5 + numbers[1]) * STRIDE
    half = [UNIT / 2 * torch.exp(each.clamp(-3, 3)) for each in numbers[2:]]
    return torch.stack((x - half[0], y - half[1], x + half[0], y + half[1]), -1)


def find(answer: Tensor, threshold: float) -> list[list[Detection]]:
    """Return the faces of each photograph, each face once, highest score first.

    answer: as for `scores_and_boxes`.
    threshold: the least score of a face, 0 to 1.
    """
    answer = answer.float().cpu()
    scores = torch.sigmoid(answer[:, 0])
    # Few cells reach the threshold: only their boxes are computed.
    pictures, rows, columns = (scores >= threshold).nonzero(as_tuple=True)
    numbers = answer[pictures, 1:, rows, columns]
    corners = _boxes(numbers[:, :4].unbind(1), rows, columns)
    tilts = _tilts(numbers[:, 4:], corners).tolist()
    kept_scores = scores[pictures, rows, columns].tolist()
    candidates_of: list[list[Detection]] = [[] for _ in range(len(answer))]
    for picture, score, (left, top, right, bottom), tilt in zip(
        pictures.tolist(), kept_scores, corners.tolist(), tilts, strict=True
    ):
        box = Box(left, top, right - left, bottom - top)
        candidates_of[picture].append(Detection(box, score, tilt))
    return [distinct(candidates) for candidates in candidates_of]


def _tilts(landmarks: Tensor, corners: Tensor) -> Tensor:
    """Return by how many degrees faces are turned clockwise, (N,).

    landmarks: (N, 10), as in the locator's output; (N, 0) from one that places none.
    corners: (N, 4), of the boxes.
    """
    if landmarks.shape[1] == 0:
        return torch.zeros(len(landmarks))
    sides = (corners[:, 2:] - corners[:, :2])[:, None]
    return tilts(landmarks.view(-1, LANDMARKS, 2) * sides)


def tilts(landmarks: Tensor) -> Tensor:
    """Return by how many degrees faces are turned clockwise, (N,).

    landmarks: (N, 5, 2), x and y of eyes, nose and corners of the mouth, in pixels from anywhere.

    It is the turn of the similarity transform that brings an upright face's landmarks closest to
    the face's own.
    """
    x, y = landmarks.unbind(2)
    template_x, template_y = torch.tensor(_UPRIGHT).unbind(1)
    along = (x * template_x + y * template_y).sum(1)
    across = (y * template_x - x * template_y).sum(1)
    return torch.rad2deg(torch.atan2(across, along))


def distinct(candidates: Sequence[Detection]) -> list[Detection]:
    """Return the faces of one photograph, each once, highest score first."""
    # Non-maximum suppression; importing torchvision's would take a second and 90 MB.
    kept: list[Box] = []
    faces: list[Detection] = []
    for candidate in sorted(candidates, key=lambda each: -each.score)[:_CANDIDATES]:
        box = candidate.box
        if any(overlap(other, box) > _OVERLAP for other in kept):
            continue
        kept.append(box)
        # A part of a face may look like a smaller face, centred within the larger one.
        x, y = box.x + box.width / 2, box.y + box.height / 2
        if not any(_holds(face.box, x, y) for face in faces):
            faces.append(candidate)
    return faces


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


def _holds(box: Box, x: float, y: float) -> bool:
    return box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height
