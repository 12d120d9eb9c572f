"""Finds the faces of photographs in two looks: at a small thumbnail, and closer where that pays."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.coordinates import thumbnail_to_slot
from gdwatch.inference.detection import distinct, find, thumbnails
from gdwatch.inference.device import moved, ready
from gdwatch.inference.faces import Detection
from gdwatch.inference.halving import in_halves
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Network
from gdwatch.networks.locator import Locator

# Always in batches of the same size: another size adds in another order, and a box that moves by a
# millionth of a pixel gives other pixels to the classifier.
_FIRST_BATCH, _FIRST_BATCH_ON_CARD, _CLOSER_BATCH = 32, 64, 4
# A face of this share of the longer side is large enough: nobody smaller matters beside it.
_LARGE = 0.15
_ENLARGED = 1.25  # a closer look would have to enlarge a photograph by less than this to pay


class Look:
    """One look: a locator on a device, with the thumbnail that it sees.

    batch: how many thumbnails it sees at once, always.
    """

    def __init__(
        self,
        locator: Locator,
        described: Network,
        precision: torch.dtype,
        device: torch.device,
        batch: int,
    ) -> None:
        self.locator = ready(locator, described.ranges, precision, device)
        self.side = described.input
        self._device = device
        self._batch = batch

    def find(self, photos: Sequence[Pixels]) -> tuple[list[list[Detection]], int]:
        """Return the faces of each photograph, as `Finder.find`."""
        found: list[list[Detection]] = []
        splits = 0
        for start in range(0, len(photos), self._batch):
            part = photos[start : start + self._batch]
            answer, more = in_halves(self.output, thumbnails(part, self.side, self._batch))
            found += self.faces(answer[: len(part)], part)
            splits += more
        return found, splits

    def faces(self, answer: Tensor, photos: Sequence[Pixels]) -> list[list[Detection]]:
        """Read the faces of photographs, in their pixels, from the locator's output.

        answer: float (B, C, h, w), as from `output`.
        """
        found = find(answer, self.locator.threshold)
        sizes = [(photo.shape[1], photo.shape[0]) for photo in photos]
        return [
            [replace(face, box=thumbnail_to_slot(face.box, self.side, size)) for face in faces]
            for faces, size in zip(found, sizes, strict=True)
        ]

    @torch.inference_mode()
    def output(self, batch: Tensor) -> Tensor:
        """Run the locator: uint8 (B, S, S, 3), RGB, to float (B, C, S / 8, S / 8) on the CPU."""
        answer: Tensor = self.locator(moved(batch, self._device).permute(0, 3, 1, 2)).float().cpu()
        return answer


class Finder:
    """Finds faces with the locators of a model.

    first, closer: the two looks; a model without a second locator has one look only.
    """

    def __init__(self, model: Model, device: torch.device, precision: torch.dtype) -> None:
        assert model.locator is not None
        assert model.details.locator is not None
        is_card = device.type == "cuda"
        batch = _FIRST_BATCH_ON_CARD if is_card else _FIRST_BATCH
        self.first = Look(model.locator, model.details.locator, precision, device, batch)
        self.closer: Look | None = None
        if model.closer is not None and model.details.closer is not None:
            self.closer = Look(model.closer, model.details.closer, precision, device, _CLOSER_BATCH)

    def find(self, photos: Sequence[Pixels]) -> tuple[list[list[Detection]], int]:
        """Find the faces of photographs.

        photos: each uint8 (H, W, 3), RGB.

        Returns the faces of each, highest score first, boxes in pixels of `photos`; and how many
        times a batch was halved because memory ran out.
        """
        first, splits = self.first.find(photos)
        found, more = self.look_closer(photos, first)
        return found, splits + more

    def look_closer(
        self, photos: Sequence[Pixels], first: Sequence[list[Detection]]
    ) -> tuple[list[list[Detection]], int]:
        """Look closer at those photographs where it pays.

        A photograph gets a closer look where no face of the first look is as long as a seventh of
        its longer side, and it has more pixels than the first look showed.

        first: the faces that the first look has found. Returns as `find`.
        """
        found = list(first)
        if self.closer is None:
            return found, 0
        again = [
            at
            for at, (photo, faces) in enumerate(zip(photos, found, strict=True))
            if self._wants_closer_look(photo, faces)
        ]
        closer, splits = self.closer.find([photos[at] for at in again])
        for at, faces in zip(again, closer, strict=True):
            found[at] = distinct([*found[at], *faces])
        return found, splits

    def _wants_closer_look(self, photo: Pixels, faces: Sequence[Detection]) -> bool:
        longest = max(photo.shape[:2])
        largest = max((max(each.box.width, each.box.height) for each in faces), default=0.0)
        return bool(longest > _ENLARGED * self.first.side and largest < _LARGE * longest)

    @property
    def looks(self) -> list[Look]:
        """The first look, and the closer one if there is one."""
        return [look for look in (self.first, self.closer) if look is not None]
