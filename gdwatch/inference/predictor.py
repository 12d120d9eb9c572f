"""A model's networks on a device: photographs in, faces and probabilities out."""

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gdwatch.decode.reduce import Pixels
from gdwatch.errors import ActionNeeded
from gdwatch.inference import crop
from gdwatch.inference.detection import find, thumbnails
from gdwatch.inference.device import fastest, moved, ready
from gdwatch.inference.faces import Detection, most_prominent, to_scores
from gdwatch.inference.model import Model
from gdwatch.inference.sharpness import sharpness
from gdwatch.networks.locator import Locator
from gdwatch.values import Scores

Finish = Callable[[], tuple[list[Scores], int]]  # see `PlainPredictor.judge`

# On a card, half precision moves a probability by less than this (measured as the largest of a
# thousand photographs, with room); whatever lies nearer to a decision is judged again in float32.
DOUBT = 0.02
_LOCATED, _LOCATED_ON_CARD = 32, 64  # thumbnails at once, see `PlainPredictor._locate`


def warn_fallback(device: torch.device, why: str) -> None:
    """Tell who reads the log that this device is not used as well as it could be."""
    sys.stderr.write(f"gdwatch: {device}: judged the plain way, which is slower: {why}\n")


class Predictor(Protocol):
    """What judges batches: an `PlainPredictor`, or the `CudaPredictor` of one.

    depth: batches begun at once.
    """

    depth: int

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Begin a batch. Returns what finishes it, see `PlainPredictor.judge`."""


class PlainPredictor:
    """A model's networks on a device.

    borders: probabilities at which a decision changes.
    locate: look for faces, if the model has a locator; else the photographs are the squares that
    the classifier sees.
    precision: by default the one in which the device is fastest; uint8: see `quantised`. What
    float16 leaves near a border is judged again in float32; the others are good enough.
    """

    depth = 1  # batches begun at once

    def __init__(
        self,
        model: Model,
        device: torch.device,
        *,
        borders: Sequence[float],
        locate: bool = True,
        precision: torch.dtype | None = None,
    ) -> None:
        self.device = device
        self.precision = precision or fastest(device, is_ranged=model.is_ranged)
        if not model.classifier.allows_reduced_precision:
            self.precision = torch.float32
        of_classifier, of_locator = model.ranges
        self.classifier = ready(model.classifier, of_classifier, self.precision, device)
        self.exact = self.classifier
        if self.precision is torch.float16:
            self.exact = ready(model.classifier, None, torch.float32, device)
        self.locator: Locator | None = None
        if model.locator is not None and locate:
            whole = torch.float32 if self.precision is torch.float16 else self.precision
            self.locator = ready(model.locator, of_locator, whole, device)
        self.side = model.details.classifier.input
        self.thumbnail = model.details.locator.input if model.details.locator else 0
        self.margin = model.details.preprocessing.margin or 1.0
        self.temperature = model.details.temperature  # Guo et al. 2017, arXiv:1706.04599
        self.borders = torch.tensor(tuple(borders))

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Do nothing yet. Returns what judges the photographs, see `judge`."""
        return partial(self.judge, photos)

    @torch.inference_mode()
    def judge(self, photos: Sequence[Pixels]) -> tuple[list[Scores], int]:
        """Find the faces and give the probability of `male` for each.

        photos: of each photograph uint8 (H, W, 3), RGB; (side, side, 3) where no locator looks.

        Returns B scores, boxes in pixels of `photos`, and how often a batch had to be halved for
        want of memory. Raises torch.OutOfMemoryError if even one photograph does not fit.
        """
        if self.locator is None:
            p_male, splits = self.classify(np.stack(photos))
            return [Scores(p) for p in p_male], splits
        located, splits = self._locate(photos)
        faces = []
        crops = []
        for photo, found in zip(photos, located, strict=True):
            height, width = photo.shape[:2]
            faces.append(most_prominent(found, self.thumbnail, width, height))
            crops += [crop.face(photo, each.box, self.margin, self.side) for each in faces[-1]]
            crops += [] if found else [crop.around(photo, self.side)]
        squares = np.stack(crops)
        p_male, more = self.classify(squares)
        sharp = sharpness(torch.from_numpy(squares).permute(0, 3, 1, 2)).tolist()
        judged = zip(p_male, sharp, strict=True)
        return to_scores(map(len, located), faces, judged), splits + more

    def classify(self, squares: Pixels) -> tuple[list[float], int]:
        """Give the probability of `male` for each square.

        squares: uint8 (B, side, side, 3), RGB.

        Returns B probabilities, and how often the batch had to be halved.
        """
        batch = torch.from_numpy(np.ascontiguousarray(squares))
        p_male, splits = in_halves(self._probabilities, batch)
        if self.precision is torch.float16:
            near = (p_male[:, None] - self.borders).abs().amin(1) < DOUBT
            if bool(near.any()):
                p_male = p_male.clone()  # what inference mode has made cannot be written to
                p_male[near], more = in_halves(self._in_full, batch[near])
                splits += more
        return p_male.tolist(), splits

    def test(self) -> None:
        """Run everything once, on black, white and noise.

        Raises ActionNeeded if an answer is no number: weights that are may still overflow.
        """
        noise = np.random.default_rng(0).integers(0, 256, (self.side, self.side, 3))
        squares = np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise]).astype(np.uint8)
        p_male, _ = self.classify(squares)
        answers = list(p_male)
        if self.locator is not None:
            side = self.thumbnail
            grey = torch.full((1, side, side, 3), 128, dtype=torch.uint8)
            answers.append(float(self._answer(grey).sum()))
        if not all(map(math.isfinite, answers)):
            raise ActionNeeded(
                f"model fails its self-test: it answers {answers}",
                "train it again, or set `model` to another",
            )

    def _locate(self, photos: Sequence[Pixels]) -> tuple[list[list[Detection]], int]:
        assert self.locator is not None
        # Always in batches of one size: in another, sums run in another order, and a box that
        # moves by a millionth of a pixel gives other pixels to the classifier.
        size = _LOCATED_ON_CARD if self.device.type == "cuda" else _LOCATED
        found: list[list[Detection]] = []
        splits = 0
        for start in range(0, len(photos), size):
            part = photos[start : start + size]
            batch = thumbnails(part, self.thumbnail, size)
            answer, more = in_halves(self._answer, batch)
            found += find(answer[: len(part)], self.locator.threshold)
            splits += more
        return found, splits

    @torch.inference_mode()
    def _answer(self, shown: Tensor) -> Tensor:
        assert self.locator is not None
        answer: Tensor = self.locator(self._moved(shown)).float().cpu()
        return answer

    def _probabilities(self, batch: Tensor) -> Tensor:
        return self._judged_by(self.classifier, batch)

    def _in_full(self, batch: Tensor) -> Tensor:
        return self._judged_by(self.exact, batch)

    @torch.inference_mode()
    def _judged_by(self, network: nn.Module, batch: Tensor) -> Tensor:
        logits = network(self._moved(batch)).float()
        return torch.sigmoid(logits / self.temperature).cpu()

    def _moved(self, batch: Tensor) -> Tensor:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels_last already: nothing is copied.
        return moved(batch, self.device).permute(0, 3, 1, 2)


def in_halves(forward: Callable[[Tensor], Tensor], batch: Tensor) -> tuple[Tensor, int]:
    """Run a batch; where memory runs out, run its halves instead, and theirs.

    Returns what `forward` returns for the whole batch, and how many times it was halved.
    Raises torch.OutOfMemoryError if one row alone does not fit.
    """
    try:
        return forward(batch), 0
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Only here, outside the handler: its traceback keeps the failed batch's tensors alive.
    torch.cuda.empty_cache()  # does nothing where there is no card
    middle = len(batch) // 2
    first, first_splits = in_halves(forward, batch[:middle])
    second, second_splits = in_halves(forward, batch[middle:])
    return torch.cat((first, second)), first_splits + second_splits + 1
