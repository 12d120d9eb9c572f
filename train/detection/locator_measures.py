"""Measure a locator by the faces of photographs that it was not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gdwatch.inference.detection import find, overlap, thumbnails
from gdwatch.inference.faces import prominence
from gdwatch.networks.locator import Locator
from gdwatch.values import Box
from train.data.sources import NOBODY, Entry
from train.detection.scenes import Photograph

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
_SURE = 0.5  # least score of the detector for a face that the locator should find
_SAME = 0.5  # least intersection over union of two boxes of one face
_BATCH = 64


@dataclass(frozen=True, slots=True)
class LocatorMeasures:
    """Recall and false positives of a locator at one threshold.

    recall: by source, the share of photographs whose most prominent face was found.
    prominent: by source, the share where that face is also the most prominent of those found.
    false: share of the photographs without people on which a face was found.
    """

    threshold: float
    recall: dict[str, float]
    prominent: dict[str, float]
    false: float


def measure(
    locator: Locator, photographs: Sequence[tuple[Entry, Photograph]], side: int
) -> list[LocatorMeasures]:
    """Compare a locator with the detector's faces, at each of `THRESHOLDS`."""
    device = next(locator.parameters()).device
    locator.eval()
    recall: dict[float, dict[str, list[bool]]] = {at: {} for at in THRESHOLDS}
    prominent: dict[float, dict[str, list[bool]]] = {at: {} for at in THRESHOLDS}
    false: dict[float, list[bool]] = {at: [] for at in THRESHOLDS}
    for begin in range(0, len(photographs), _BATCH):
        batch = photographs[begin : begin + _BATCH]
        shown = thumbnails([np.array(seen.image) for _, seen in batch], side)
        with torch.inference_mode():
            answer = locator(shown.to(device).permute(0, 3, 1, 2)).cpu()
        for at in THRESHOLDS:
            for (entry, seen), found in zip(batch, find(answer, at), strict=True):
                scale = max(seen.image.size) / side
                boxes = [Box(*(scale * value for value in (box.x, box.y, box.width, box.height)))
                         for box in (face.box for face in found)]  # fmt: skip
                if entry.label == NOBODY:
                    false[at].append(bool(boxes))
                    continue
                wanted = _most_prominent(_sure(seen), seen.image.size)
                if wanted is None:
                    continue
                first = _most_prominent(boxes, seen.image.size)
                recall[at].setdefault(entry.source, []).append(
                    any(overlap(box, wanted) > _SAME for box in boxes)
                )
                prominent[at].setdefault(entry.source, []).append(
                    first is not None and overlap(first, wanted) > _SAME
                )
    return [
        LocatorMeasures(
            at, _shares(recall[at]), _shares(prominent[at]), float(np.mean(false[at] or [False]))
        )
        for at in THRESHOLDS
    ]


def _shares(by_source: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    every = [one for many in by_source.values() for one in many]
    shares = {source: float(np.mean(many)) for source, many in sorted(by_source.items())}
    return shares | {"all": float(np.mean(every or [False]))}


def _sure(seen: Photograph) -> list[Box]:
    return [
        Box(*map(float, (left, top, right - left, bottom - top)))
        for left, top, right, bottom, score in seen.faces[:, :5]
        if score >= _SURE
    ]


def _most_prominent(boxes: Sequence[Box], size: tuple[int, int]) -> Box | None:
    return max(boxes, key=lambda box: prominence(box, *size), default=None)
