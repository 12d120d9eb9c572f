"""The network that finds faces on a thumbnail, and what its answers mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gdwatch.layers import Activations, Normalisation, pixels, rectified, takes_pixels
from gdwatch.resample import resized
from gdwatch.shrink import Pixels
from gdwatch.values import Box

STRIDE = 8  # pixels of the thumbnail to one cell of the answer
UNIT = 32  # pixels; the logarithm of a face's size is 0 at this one
_CANDIDATES = 64  # cells looked at in one picture, the best ones
_OVERLAP = 0.4  # of two boxes, as intersection over union, that show one face
BESIDE = 128  # grey, what a thumbnail shows beside its photograph
_SPREAD = 64.0  # pixels are normalised by; their middle is that grey


@dataclass(frozen=True, slots=True)
class Found:
    """A face on a thumbnail. box: in its pixels; score: 0 to 1."""

    box: Box
    score: float


def _norm_relu(inputs: int, outputs: int, size: int, stride: int, *, folded: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=folded),
        nn.Identity() if folded else nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    """Two dense 3x3 convolutions and a short cut."""

    def __init__(self, channels: int, *, folded: bool) -> None:
        super().__init__()
        self.first = _norm_relu(channels, channels, 3, 1, folded=folded)
        self.second = _norm_relu(channels, channels, 3, 1, folded=folded)[:2]

    def forward(self, x: Activations) -> Activations:
        return rectified(self.second, self.first(x), x)


class Locator(nn.Module):
    """Every face by its centre (CenterNet, Zhou et al. 2019, arXiv:1904.07850), on a pyramid.

    A stage sees half of what the one before it sees; from the last stage back, each adds what it
    knows (Lin et al. 2017, arXiv:1612.03144), so that small and large faces are told in one map.

    stem: channels after the first convolution, which makes a quarter of the side.
    widths, blocks: channels and residual blocks of each stage; each begins with a halving.
    head: channels in which the stages are added.
    threshold: the score from which a face counts as one.
    folded: without batch norms.
    """

    first = "stem"
    floats = ("lateral.", "out")

    def __init__(
        self,
        *,
        stem: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        head: int,
        threshold: float,
        folded: bool = False,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.stem = _norm_relu(3, stem, 5, 4, folded=folded)
        self.stages = nn.ModuleList()
        inputs = stem
        for width, count in zip(widths, blocks, strict=True):
            halving = _norm_relu(inputs, width, 3, 2, folded=folded)
            residual = (_Block(width, folded=folded) for _ in range(count))
            self.stages.append(nn.Sequential(halving, *residual))
            inputs = width
        self.lateral = nn.ModuleList(nn.Conv2d(width, head, 1) for width in widths)
        self.added = nn.ReLU(inplace=True)
        self.head = _norm_relu(head, head, 3, 1, folded=folded)
        self.out = nn.Conv2d(head, 5, 1)

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Look for faces.

        thumbnails: uint8 (B, 3, S, S), RGB, S a multiple of 32.

        Returns float (B, 5, S / 8, S / 8), for each cell: the logit that a face's centre lies in
        it, how far the centre is from the cell's (x, y, in cells), and the logarithms of the
        face's width and height, in units of `UNIT` pixels.
        """
        is_plain = takes_pixels(self.stem)
        x = pixels(thumbnails, BESIDE) if is_plain else self._normalised(thumbnails)
        x = self.stem(x)
        levels: list[Tensor] = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        seen = levels.pop()
        while levels:
            seen = levels.pop().add_(F.interpolate(seen, scale_factor=2.0, mode="nearest"))
        answer: Tensor = self.out(self.head(self.added(seen)))
        return answer

    @property
    def normalisation(self) -> Normalisation:
        """Of the pixels that `stem` sees; what is beside a thumbnail becomes 0."""
        scale = torch.full((3,), 1 / _SPREAD)
        return Normalisation(scale, -BESIDE * scale, BESIDE)

    def _normalised(self, thumbnails: Tensor) -> Tensor:
        x = thumbnails.contiguous(memory_format=torch.channels_last)
        # In place: a copy of so many numbers costs more than a convolution.
        return x.to(next(self.parameters()).dtype, copy=True).sub_(BESIDE).div_(_SPREAD)


def thumbnails(photos: Sequence[Pixels], side: int, count: int | None = None) -> Tensor:
    """Show whole photographs to the locator, each in its own shape, in the upper left corner.

    photos: each uint8 (H, W, 3), RGB.
    count: how many squares to make, the last of them empty; by default one for each photograph.

    Returns uint8 (count, side, side, 3), RGB; grey beside the pictures.
    """
    squares = torch.full((count or len(photos), side, side, 3), BESIDE, dtype=torch.uint8)
    for square, photo in zip(squares, photos, strict=False):
        height, width = photo.shape[:2]
        shape = shown(height, width, side)
        square[: shape[0], : shape[1]] = resized(photo, *shape)
    return squares


def shown(height: int, width: int, side: int) -> tuple[int, int]:
    """The height and width, in pixels, that a photograph of this height and width has there."""
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def fold(locator: Locator) -> None:
    """Work each batch norm into the convolution before it; it cannot learn any more then."""
    locator.eval()
    for module in locator.modules():
        if isinstance(module, nn.Sequential) and isinstance(module[0], nn.Conv2d):
            norm = module[1]
            if isinstance(norm, nn.BatchNorm2d):
                module[0], module[1] = fuse_conv_bn_eval(module[0], norm), nn.Identity()


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


def find(answer: Tensor, threshold: float) -> list[list[Found]]:
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


def _distinct(candidates: Sequence[tuple[float, Sequence[float]]]) -> list[Found]:
    """Each face once, of one picture's scores and corners, the surest first."""
    # Non-maximum suppression; to import torchvision's takes a second and 90 MB.
    kept: list[Box] = []
    faces: list[Found] = []
    for score, (left, top, right, bottom) in candidates:
        box = Box(left, top, right - left, bottom - top)
        if any(overlap(other, box) > _OVERLAP for other in kept):
            continue
        kept.append(box)
        # A part of a face looks like a smaller face in the midst of it.
        if not any(_holds(face.box, (left + right) / 2, (top + bottom) / 2) for face in faces):
            faces.append(Found(box, score))
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


LOCATORS: dict[str, type[Locator]] = {"pyramid": Locator}
