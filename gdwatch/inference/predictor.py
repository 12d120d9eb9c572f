"""Runs a model's networks on a device: photographs in, faces and probabilities out."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gdwatch.decode.reduce import Pixels
from gdwatch.errors import ActionNeeded
from gdwatch.inference import crop
from gdwatch.inference.calibration import Calibrated
from gdwatch.inference.device import fastest, moved, ready
from gdwatch.inference.faces import Detection, Judgement, most_prominent, to_scores
from gdwatch.inference.finder import Finder
from gdwatch.inference.halving import in_halves
from gdwatch.inference.model import Model
from gdwatch.inference.sharpness import sharpness
from gdwatch.networks.two_inputs import TwoInputClassifier
from gdwatch.values import Box, Scores

# On a card, float16 changes a probability by less than this (the largest change of a thousand
# photographs, with a margin). A probability nearer to a border is computed again in float32.
DOUBT = 0.02
_SURROUNDINGS_BATCH = 8


@dataclass(frozen=True, slots=True)
class Result:
    """What a predictor has found on a batch of photographs.

    scores: of each photograph, boxes in its pixels.
    located: the faces that the locator found on each, those that the classifier takes for nobody
    too; none where no locator looked.
    splits: how many times a batch was halved because memory ran out.
    """

    scores: list[Scores]
    located: list[list[Detection]]
    splits: int


Finish = Callable[[], Result]


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
        details = model.details
        self.classifier = ready(model.classifier, details.classifier.ranges, self.precision, device)
        self.exact = self.classifier
        if self.precision is torch.float16:
            self.exact = ready(model.classifier, None, torch.float32, device)
        self.finder: Finder | None = None
        if model.locator is not None and locate:
            exact = torch.float32 if self.precision is torch.float16 else self.precision
            self.finder = Finder(model, device, exact)
        self.side = details.classifier.input
        self.margin = details.preprocessing.margin or 1.0
        self.is_upright = details.preprocessing.upright
        self.calibration = Calibrated(details.temperature, details.calibration)
        self.borders = torch.tensor(tuple(borders))

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Return a function that calls `judge` with the photographs; nothing runs before."""
        return partial(self.judge, photos)

    @torch.inference_mode()
    def judge(self, photos: Sequence[Pixels]) -> Result:
        """Find the faces, and return the probability of `male` of each.

        photos: of each photograph uint8 (H, W, 3), RGB; (side, side, 3) where no locator looks.

        Raises torch.OutOfMemoryError if even one photograph does not fit.
        """
        if self.finder is None:
            judged, splits = self.classify(np.stack(photos))
            scores = [Scores(each.p_male, p_nobody=each.p_nobody) for each in judged]
            return Result(scores, [[] for _ in photos], splits)
        located, splits = self.finder.find(photos)
        scores, more = self.judge_faces(photos, located)
        return Result(scores, located, splits + more)

    @torch.inference_mode()
    def judge_faces(
        self, photos: Sequence[Pixels], located: Sequence[Sequence[Detection]]
    ) -> tuple[list[Scores], int]:
        """Return the scores of photographs whose faces are known, and the splits, see `Result`.

        located: the faces of each photograph, in its pixels.
        """
        faces = []
        crops: list[Pixels] = []
        places: list[tuple[Pixels, Box | None]] = []
        for photo, found in zip(photos, located, strict=True):
            height, width = photo.shape[:2]
            faces.append(most_prominent(found, width, height))
            crops += [self._crop(photo, each) for each in faces[-1]]
            places += [(photo, each.box) for each in faces[-1]]
            if not found:
                crops.append(crop.around(photo, self.side))
                places.append((photo, None))
        sizes = torch.tensor(
            [0.0 if box is None else max(box.width, box.height) for _, box in places]
        )
        counts = self._looks_around(sizes).tolist()
        around = [crop.surroundings(*place) for place, it in zip(places, counts, strict=True) if it]
        judged, splits = self.classify(np.stack(crops), sizes, np.stack(around) if around else None)
        return to_scores(map(len, located), faces, judged), splits

    def _looks_around(self, sizes: Tensor) -> Tensor:
        """Return which faces' surroundings the classifier sees, bool (B,); sizes: of the faces."""
        if not isinstance(self.classifier, TwoInputClassifier):
            return torch.zeros_like(sizes, dtype=torch.bool)
        return self.classifier.looks_around(sizes)

    def _crop(self, photo: Pixels, face: Detection) -> Pixels:
        if self.is_upright:
            return crop.upright(photo, face.box, face.tilt, self.margin, self.side)
        return crop.face(photo, face.box, self.margin, self.side)

    def classify(
        self, squares: Pixels, sizes: Tensor | None = None, around: Pixels | None = None
    ) -> tuple[list[Judgement], int]:
        """Judge crops.

        squares: uint8 (B, side, side, 3), RGB.
        sizes: float (B,), longer side of each face, in pixels of the photograph; 0 or None where
        the square is a whole photograph.
        around: uint8 (S, 128, 80, 3), RGB, the surroundings of those faces whose surroundings the
            classifier sees, in their order; None: of none.

        Returns B answers, and how many times the batch was halved because memory ran out.
        """
        batch = torch.from_numpy(np.ascontiguousarray(squares))
        sizes = torch.zeros(len(batch)) if sizes is None else sizes
        sharp = sharpness(batch.permute(0, 3, 1, 2))
        logits, splits = in_halves(self._logits, batch)
        logits = self._fused(self.classifier, logits, sizes, around)
        p_male = self.calibration.p_male(logits[:, 0], sizes, sharp)
        if self.precision is torch.float16:
            near = (p_male[:, None] - self.borders).abs().amin(1) < DOUBT
            if bool(near.any()):
                again, more = in_halves(self._exact_logits, batch[near])
                splits += more
                beside = around
                if around is not None:
                    beside = around[near[self._looks_around(sizes)].numpy()]
                again = self._fused(self.exact, again, sizes[near], beside)
                p_male = p_male.clone()  # what inference mode has made is read-only here
                p_male[near] = self.calibration.p_male(again[:, 0], sizes[near], sharp[near])
        answers = zip(
            p_male.tolist(), torch.sigmoid(logits[:, 1]).tolist(), sharp.tolist(), strict=True
        )
        return [Judgement(*each) for each in answers], splits

    def test(self) -> None:
        """Run the networks once, on black, white and noise.

        Raises ActionNeeded if an output is not finite: finite weights may still overflow.
        """
        noise = np.random.default_rng(0).integers(0, 256, (self.side, self.side, 3))
        squares = np.stack([np.zeros_like(noise), np.full_like(noise, 255), noise]).astype(np.uint8)
        small, large = 32.0, 1024.0  # pixels
        around = np.stack([crop.surroundings(square, None) for square in squares])
        judged = []
        for size in (small, large):
            sizes = torch.full((len(squares),), size)
            seen = around if bool(self._looks_around(sizes).all()) else None
            judged += self.classify(squares, sizes, seen)[0]
        answers = [number for each in judged for number in (each.p_male, each.p_nobody)]
        for look in self.finder.looks if self.finder is not None else ():
            grey = torch.full((1, look.side, look.side, 3), 128, dtype=torch.uint8)
            answers.append(float(look.output(grey).sum()))
        if not all(map(math.isfinite, answers)):
            raise ActionNeeded(
                f"model fails its self-test: it answers {answers}",
                "train it again, or set `model` to another",
            )

    def _logits(self, batch: Tensor) -> Tensor:
        return self._logits_of(self.classifier, batch)

    def _exact_logits(self, batch: Tensor) -> Tensor:
        return self._logits_of(self.exact, batch)

    @torch.inference_mode()
    def _logits_of(self, network: nn.Module, batch: Tensor) -> Tensor:
        logits: Tensor = network(self._moved(batch)).float().cpu()
        return logits

    @torch.inference_mode()
    def _fused(
        self, network: nn.Module, logits: Tensor, sizes: Tensor, around: Pixels | None
    ) -> Tensor:
        """Add what the surroundings say: float (B, 2), logits as in `Classifier.forward`."""
        if not isinstance(network, TwoInputClassifier):
            return logits
        looks = network.looks_around(sizes)
        if around is None and bool(looks.any()):  # squares alone, with no photograph around them
            return logits
        told = torch.zeros_like(logits)
        if around is not None:
            parts = []
            for start in range(0, len(around), _SURROUNDINGS_BATCH):
                # Always in batches of the same size, as floats of others add up in another order.
                part = around[start : start + _SURROUNDINGS_BATCH]
                batch = np.zeros((_SURROUNDINGS_BATCH, *part.shape[1:]), np.uint8)
                batch[: len(part)] = part
                answer = network.around(self._moved(torch.from_numpy(batch)))
                parts.append(answer.cpu()[: len(part)])
            told[looks] = torch.cat(parts)
        return network.fused(logits, told, sizes)

    def _moved(self, batch: Tensor) -> Tensor:
        # (B, H, W, 3) permuted to (B, 3, H, W) is channels_last already: nothing is copied.
        return moved(batch, self.device).permute(0, 3, 1, 2)
