"""Inference on a CUDA card: everything from the slots to the scores, but for `find`.

A batch runs in two halves, so that the card can work on another batch while the CPU finds faces in
the locator's output:

    upload ─▶ thumbnails ─▶ locator ─▶ find (CPU) ─▶ crops ─▶ classifier

All work is enqueued in one stream and runs in that order. A buffer on the card may therefore be
overwritten as soon as the work that reads it is enqueued. Memory of the CPU is different: it must
not be written or read until the card has passed that point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from gdwatch.cuda.batched import resized_together, thumbnails_together
from gdwatch.cuda.streams import Graph, Stream
from gdwatch.decode.reduce import Pixels
from gdwatch.inference.crop_geometry import Crop, square_around, square_of
from gdwatch.inference.detection import find
from gdwatch.inference.device import fetched, moved
from gdwatch.inference.faces import most_prominent, to_scores
from gdwatch.inference.predictor import Finish, PlainPredictor, warn_fallback
from gdwatch.inference.sharpness import sharpness
from gdwatch.values import Scores

_AT_ONCE = 128  # batch size of both networks: photographs, and faces

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch whose first half is enqueued.

    photos: each uint8 (H, W, 3), RGB, in its slot.
    uploaded: the same, on the device.
    answer: the locator's output, valid once `wait` has returned; None without a locator.
    wait: blocks until the device has done the first half.
    """

    photos: Sequence[Pixels]
    uploaded: list[Tensor]
    answer: Tensor | None
    wait: Callable[[], None]


class CudaPredictor:
    """Runs the networks of a `PlainPredictor` on its device, a card; in tests, the CPU.

    doubt: a probability nearer to a border than this is computed again by `predictor.exact`.
    at_once: batch size of both networks, photographs and faces; smaller batches are filled up.
    stream: the stream in which all work is enqueued.

    A batch for which the device lacks memory goes to the `PlainPredictor`, which may halve it.
    After any other failure of the device, all batches do.
    """

    depth = 2  # see `Predictor`

    @torch.inference_mode()
    def __init__(self, predictor: PlainPredictor, doubt: float, at_once: int = _AT_ONCE) -> None:
        self._predictor = predictor
        self._doubt = doubt
        self._at_once = at_once
        self._has_failed = False
        self.stream = Stream(predictor.device)
        self._classify = self._graph(self._p_male_and_sharpness, predictor.side)
        self._locate: Graph | None = None
        if predictor.locator is not None:
            self._locate = self._graph(predictor.locator, predictor.thumbnail)

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Enqueue the first half of a batch, without waiting for it.

        photos: as for `PlainPredictor.judge`; they must not change until the batch is finished.

        Returns a function that finishes the batch and returns as `PlainPredictor.judge`.
        """
        size = self._at_once
        first, *others = (photos[start : start + size] for start in range(0, len(photos), size))
        begun = self._attempt(partial(self.enqueue, first))

        def finish() -> tuple[list[Scores], int]:
            scores, splits = self._finished(first, begun)
            for part in others:
                more, more_splits = self._finished(part, self._attempt(partial(self.enqueue, part)))
                scores, splits = scores + more, splits + more_splits
            return scores, splits

        return finish

    def _finished(self, photos: Sequence[Pixels], begun: Begun | None) -> tuple[list[Scores], int]:
        scores = self._attempt(partial(self._judged, begun)) if begun else None
        if scores is not None:
            return scores, 0
        if begun:
            begun.uploaded.clear()  # `PlainPredictor` needs the memory
        scores, splits = self._predictor.judge(photos)
        return scores, splits + (not self._has_failed)

    def _attempt(self, step: Callable[[], Result]) -> Result | None:
        """Run a step. Returns None if the device fails, once it no longer reads the photographs."""
        if self._has_failed:
            return None
        try:
            return step()
        except torch.OutOfMemoryError:
            pass
        except RuntimeError as error:
            self._has_failed = True
            warn_fallback(self._predictor.device, repr(error))
        # Outside the handlers, where the error's traceback would keep tensors alive.
        self.stream.wait()
        torch.cuda.empty_cache()
        return None

    @torch.inference_mode()
    def enqueue(self, photos: Sequence[Pixels]) -> Begun:
        """Enqueue the first half of a batch of at most `at_once` photographs; see `begin`."""
        answer = None
        with self.stream.active():
            uploaded = [
                torch.from_numpy(photo).to(self._predictor.device, non_blocking=True)
                for photo in photos
            ]
            if self._locate is not None:
                answer = fetched(
                    self._locate(thumbnails_together(uploaded, self._predictor.thumbnail))
                )
        return Begun(photos, uploaded, answer, self.stream.mark())

    @torch.inference_mode()
    def _judged(self, begun: Begun) -> list[Scores]:
        begun.wait()
        predictor = self._predictor
        if begun.answer is None or predictor.locator is None:
            whole = [square_around(predictor.side, predictor.side, predictor.side)] * len(
                begun.photos
            )
            return [Scores(p_male) for p_male, _ in self.faces(begun.uploaded, whole)]
        located = find(begun.answer[: len(begun.photos)], predictor.locator.threshold)
        faces = []
        photos: list[Tensor] = []
        squares: list[Crop] = []
        for photo, found in zip(begun.uploaded, located, strict=True):
            height, width = photo.shape[:2]
            best = most_prominent(found, predictor.thumbnail, width, height)
            faces.append(best)
            cut = [
                square_of(each.box, predictor.margin, predictor.side, width, height)
                for each in best
            ] or [square_around(predictor.side, width, height)]
            photos += [photo] * len(cut)
            squares += cut
        return to_scores(map(len, located), faces, self.faces(photos, squares))

    def faces(self, photos: Sequence[Tensor], squares: Sequence[Crop]) -> list[tuple[float, float]]:
        """Return the probability of `male` and the sharpness of each square.

        photos: each uint8 (H, W, 3), RGB, on the device, one for each square.
        """
        judged: list[tuple[float, float]] = []
        for start in range(0, len(squares), self._at_once):
            chunk = slice(start, start + self._at_once)
            with self.stream.active():
                cut = resized_together(photos[chunk], squares[chunk], self._predictor.side)
                answer = fetched(self._classify(cut))
            self.stream.wait()
            p_male, sharp = answer.unbind(1)
            near = (p_male[:, None] - self._predictor.borders).abs().amin(1) < self._doubt
            if self._predictor.exact is not self._predictor.classifier and bool(near.any()):
                with self.stream.active():
                    again = cut[moved(near.nonzero()[:, 0], cut.device)]
                    exact = fetched(self.p_male(self._predictor.exact, again))
                self.stream.wait()
                p_male[near] = exact
            judged += zip(p_male.tolist(), sharp.tolist(), strict=True)
        return judged

    def _p_male_and_sharpness(self, squares: Tensor) -> Tensor:
        """Return both for each square: float32 (B, 2). squares: uint8 (B, 3, side, side)."""
        return torch.stack(
            (self.p_male(self._predictor.classifier, squares), sharpness(squares)), 1
        )

    def p_male(self, network: nn.Module, squares: Tensor) -> Tensor:
        """Return a network's probability of `male` of each square: float32 (N,), on the device.

        squares: uint8 (N, 3, side, side), on the device.
        """
        return torch.sigmoid(network(squares).float() / self._predictor.temperature)

    def _graph(self, network: Callable[[Tensor], Tensor], side: int) -> Graph:
        shape = self._at_once, side, side, 3  # permuted to channels_last, the fastest layout
        with self.stream.active():
            given = torch.zeros(shape, dtype=torch.uint8, device=self._predictor.device)
        return Graph(network, given.permute(0, 3, 1, 2), self.stream)
