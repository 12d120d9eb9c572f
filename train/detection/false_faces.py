"""Mine false faces: what a locator takes for a face, even with a low score, where there is none.

A classifier that has learnt from these what nobody looks like refuses the locator's mistakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.coordinates import thumbnail_to_slot
from gdwatch.inference.detection import find, overlap, thumbnails
from gdwatch.inference.faces import Detection
from gdwatch.networks.locator import Locator
from gdwatch.values import Box

MOST_AMONG_PEOPLE = 4  # of a photograph with people, where a real face may have been overlooked
MOST_WITHOUT_PEOPLE = 12
_FIRST, _CLOSER = 0.12, 0.25  # least scores: a closer look has many more places to err in
_SAME = 0.4  # intersection over union from which two boxes are the same mistake
_AROUND = 0.3  # of the sides of a face, on each side: what lies there is no mistake


@dataclass(frozen=True, slots=True)
class Look:
    """A locator, and the side of the thumbnail that it sees, in pixels."""

    locator: Locator
    side: int

    def find(self, photos: Sequence[Pixels], threshold: float) -> list[list[Detection]]:
        """Find the faces of each photograph, in its pixels, the surest first.

        photos: each uint8 (H, W, 3), RGB. threshold: the least score, 0 to 1.
        """
        device = next(self.locator.parameters()).device
        shown = thumbnails(photos, self.side).to(device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            answer = self.locator(shown).cpu()
        sizes = [(photo.shape[1], photo.shape[0]) for photo in photos]
        return [
            [replace(face, box=thumbnail_to_slot(face.box, self.side, size)) for face in faces]
            for faces, size in zip(find(answer, threshold), sizes, strict=True)
        ]


def mine(photo: Pixels, looks: Sequence[Look], known: Sequence[Box], most: int) -> list[Detection]:
    """Return the false faces of a photograph, the surest first.

    photo: uint8 (H, W, 3), RGB.
    looks: the locator's first look, and the closer one if there is one.
    known: all faces that are really there, in pixels of `photo`.
    most: how many are returned, at most.
    """
    faces = [_enlarged(box) for box in known]
    mistakes: list[Detection] = []
    for look, threshold in zip(looks, (_FIRST, _CLOSER), strict=False):
        for found in look.find([photo], threshold)[0]:
            if not any(_touches(found.box, face) for face in faces) and not any(
                overlap(found.box, other.box) > _SAME for other in mistakes
            ):
                mistakes.append(found)
    return sorted(mistakes, key=lambda each: -each.score)[:most]


def _enlarged(box: Box) -> Box:
    more = 1 + 2 * _AROUND
    return Box(
        box.x - _AROUND * box.width, box.y - _AROUND * box.height,
        more * box.width, more * box.height,
    )  # fmt: skip


def _touches(one: Box, other: Box) -> bool:
    return (
        one.x <= other.x + other.width
        and other.x <= one.x + one.width
        and one.y <= other.y + other.height
        and other.y <= one.y + one.height
    )
