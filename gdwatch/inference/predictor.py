"""Runs a model's networks on a device: photographs in, faces and probabilities out."""

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

Finish = Callable[[], tuple[list[Scores], int]]  # returns as `PlainPredictor.judge`

# On a card, float16 changes a probability by less than this (the largest change of a thousand
# photographs, with a margin). A probability nearer to a border is computed again in float32.
DOUBT = 0.02
_LOCATOR_BATCH, _LOCATOR_BATCH_ON_CARD = 32, 64  # thumbnails, see `PlainPredictor._locate`


def warn_fallback(device: torch.device, why: str) -> None:
    """Warn on standard error that a device runs the slower `PlainPredictor`, and why."""
    sys.stderr.write(f"gdwatch: {device}: judged the plain way, which is slower: {why}\n")


class Predictor(Protocol):
    """Classifies batches: a `PlainPredictor`, or a `CudaPredictor` around one.

    depth: how many batches may be begun before the first is finished.
    """

    depth: int

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Begin a batch. Returns a function that finishes it, see `PlainPredictor.judge`."""


class PlainPredictor:
    """Runs a model's networks on a device, one batch after the other.

    borders: probabilities at which a decision changes.
    locate: whether to look for faces, if the model has a locator; if not, the photographs must be
    the squares that the classifier sees.
    precision: by default the fastest of the device; uint8 stands for `quantised`. With float16, a
    probability near a border is computed again in float32; the others are accurate enough.
    """

    depth = 1  # see `Predictor`

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
        classifier_ranges, locator_ranges = model.ranges
        self.classifier = ready(model.classifier, classifier_ranges, self.precision, device)
        self.exact = self.classifier
        if self.precision is torch.float16:
            self.exact = ready(model.classifier, None, torch.float32, device)
        self.locator: Locator | None = None
        if model.locator is not None and locate:
            locator_precision = torch.float32 if self.precision is torch.float16 else self.precision
            self.locator = ready(model.locator, locator_ranges, locator_precision, device)
        self.side = model.details.classifier.input
        self.thumbnail = model.details.locator.input if model.details.locator else 0
        self.margin = model.details.preprocessing.margin or 1.0
        self.temperature = model.details.temperature  # Guo et al. 2017, arXiv:1706.04599
        self.borders = torch.tensor(tuple(borders))

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Return a function that calls `judge` with the photographs; nothing runs before."""
        return partial(self.judge, photos)

    @torch.inference_mode()
    def judge(self, photos: Sequence[Pixels]) -> tuple[list[Scores], int]:
        """Find the faces, and return the probability of `male` of each.

        photos: of each photograph uint8 (H, W, 3), RGB; (side, side, 3) where no locator looks.

        Returns the scores of each photograph, boxes in pixels of `photos`, and how many times a
        batch was halved because memory ran out.
        Raises torch.OutOfMemoryError if even one photograph does not fit.
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
        """Return the probability of `male` of each square.

        squares: uint8 (B, side, side, 3), RGB.

        Returns B probabilities, and how many times the batch was halved because memory ran out.
        """
        batch = torch.from_numpy(np.ascontiguousarray(squares))
        p_male, splits = in_halves(self._probabilities, batch)
        if self.precision is torch.float16:
            near = (p_male[:, None] - self.borders).abs().amin(1) < DOUBT
            if bool(near.any()):
                p_male = p_male.clone()  # what inference mode has made is read-only here
                p_male[near], more = in_halves(self._exact_probabilities, batch[near])
                splits += more
        return p_male.tolist(), splits

    def test(self) -> None:
        """Run the networks once, on black, white and noise.

        Raises ActionNeeded if an output is not finite: finite weights may still overflow.
        """
        noise = np.random.default_rng(0).integers(0, 256, (self.side, self.side, 3))
        squares = np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise]).astype(np.uint8)
        p_male, _ = self.classify(squares)
        answers = list(p_male)
        if self.locator is not None:
            side = self.thumbnail
            grey = torch.full((1, side, side, 3), 128, dtype=torch.uint8)
            answers.append(float(self._locator_output(grey).sum()))
        if not all(map(math.isfinite, answers)):
            raise ActionNeeded(
                f"model fails its self-test: it answers {answers}",
                "train it again, or set `model` to another",
            )

    def _locate(self, photos: Sequence[Pixels]) -> tuple[list[list[Detection]], int]:
        assert self.locator is not None
        # Always in batches of the same size: another size adds in another order, and a box that
        # moves by a millionth of a pixel gives other pixels to the classifier.
        size = _LOCATOR_BATCH_ON_CARD if self.device.type == "cuda" else _LOCATOR_BATCH
        found: list[list[Detection]] = []
        splits = 0
        for start in range(0, len(photos), size):
            part = photos[start : start + size]
            batch = thumbnails(part, self.thumbnail, size)
            answer, more = in_halves(self._locator_output, batch)
            found += find(answer[: len(part)], self.locator.threshold)
            splits += more
        return found, splits

    @torch.inference_mode()
    def _locator_output(self, batch: Tensor) -> Tensor:
        assert self.locator is not None
        answer: Tensor = self.locator(self._moved(batch)).float().cpu()
        return answer

    def _probabilities(self, batch: Tensor) -> Tensor:
        return self._probabilities_of(self.classifier, batch)

    def _exact_probabilities(self, batch: Tensor) -> Tensor:
        return self._probabilities_of(self.exact, batch)

    @torch.inference_mode()
    def _probabilities_of(self, network: nn.Module, batch: Tensor) -> Tensor:
        logits = network(self._moved(batch)).float()
        return torch.sigmoid(logits / self.temperature).cpu()

    def _moved(self, batch: Tensor) -> Tensor:
        # (B, H, W, 3) permuted to (B, 3, H, W) is channels_last already: nothing is copied.
        return moved(batch, self.device).permute(0, 3, 1, 2)


def in_halves(forward: Callable[[Tensor], Tensor], batch: Tensor) -> tuple[Tensor, int]:
    """Run a batch; if memory runs out, run its halves instead, recursively.

    Returns what `forward` returns for the whole batch, and how many times a batch was halved.
    Raises torch.OutOfMemoryError if one row alone does not fit.
    """
    try:
        return forward(batch), 0
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Outside the handler, where the traceback would keep the failed batch's tensors alive.
    torch.cuda.empty_cache()  # does nothing where there is no card
    middle = len(batch) // 2
    first, first_splits = in_halves(forward, batch[:middle])
    second, second_splits = in_halves(forward, batch[middle:])
    return torch.cat((first, second)), first_splits + second_splits + 1
