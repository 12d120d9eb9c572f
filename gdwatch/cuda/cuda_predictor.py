"""Inference on a CUDA card: everything from the slots to the scores, but for `find`.

A batch runs in two halves, so that the card can work on another batch while the CPU finds faces in
the locator's output:

    upload ─▶ thumbnails ─▶ locator ─▶ find (CPU) ─▶ crops ─▶ classifier

All work is enqueued in one stream and runs in that order. A buffer on the card may therefore be
overwritten as soon as the work that reads it is enqueued. Memory of the CPU is different: it must
not be written or read until the card has passed that point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from gdwatch.cuda.batched import resized_together, thumbnails_together
from gdwatch.cuda.streams import Graph, Stream
from gdwatch.decode.reduce import Pixels
from gdwatch.inference.crop_geometry import Crop, square_around, square_of
from gdwatch.inference.device import fetched, moved
from gdwatch.inference.faces import Judgement, most_prominent, to_scores
from gdwatch.inference.predictor import Finish, PlainPredictor, Result, warn_fallback
from gdwatch.inference.sharpness import sharpness
from gdwatch.values import Scores

_AT_ONCE = 128  # batch size of both networks: photographs, and faces

Done = TypeVar("Done")


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
        self._classify = self._graph(self._logits_and_sharpness, predictor.side)
        self._locate: Graph | None = None
        self._thumbnail = 0
        if predictor.finder is not None:
            look = predictor.finder.first
            self._locate, self._thumbnail = self._graph(look.locator, look.side), look.side

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Enqueue the first half of a batch, without waiting for it.

        photos: as for `PlainPredictor.judge`; they must not change until the batch is finished.

        Returns a function that finishes the batch and returns its result.
        """
        size = self._at_once
        first, *others = (photos[start : start + size] for start in range(0, len(photos), size))
        begun = self._attempt(partial(self.enqueue, first))

        def finish() -> Result:
            result = self._finished(first, begun)
            for part in others:
                more = self._finished(part, self._attempt(partial(self.enqueue, part)))
                result = Result(
                    result.scores + more.scores,
                    result.located + more.located,
                    result.splits + more.splits,
                )
            return result

        return finish

    def _finished(self, photos: Sequence[Pixels], begun: Begun | None) -> Result:
        result = self._attempt(partial(self._judged, begun)) if begun else None
        if result is not None:
            return result
        if begun:
            begun.uploaded.clear()  # `PlainPredictor` needs the memory
        result = self._predictor.judge(photos)
        return replace(result, splits=result.splits + (not self._has_failed))

    def _attempt(self, step: Callable[[], Done]) -> Done | None:
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
                answer = fetched(self._locate(thumbnails_together(uploaded, self._thumbnail)))
        return Begun(photos, uploaded, answer, self.stream.mark())

    @torch.inference_mode()
    def _judged(self, begun: Begun) -> Result:
        begun.wait()
        predictor = self._predictor
        if begun.answer is None or predictor.finder is None:
            whole = [square_around(predictor.side, predictor.side, predictor.side)] * len(
                begun.photos
            )
            judged = self.faces(begun.uploaded, whole, [0.0] * len(whole))
            scores = [Scores(each.p_male, p_nobody=each.p_nobody) for each in judged]
            return Result(scores, [[] for _ in scores], 0)
        located, splits = predictor.finder.look_closer(
            begun.photos,
            predictor.finder.first.faces(begun.answer[: len(begun.photos)], begun.photos),
        )
        faces = []
        photos: list[Tensor] = []
        squares: list[Crop] = []
        sizes: list[float] = []
        for photo, found in zip(begun.uploaded, located, strict=True):
            height, width = photo.shape[:2]
            best = most_prominent(found, width, height)
            faces.append(best)
            cut = [
                square_of(each.box, predictor.margin, predictor.side, width, height)
                for each in best
            ] or [square_around(predictor.side, width, height)]
            photos += [photo] * len(cut)
            squares += cut
            sizes += [max(each.box.width, each.box.height) for each in best] or [0.0]
        scores = to_scores(map(len, located), faces, self.faces(photos, squares, sizes))
        return Result(scores, located, splits)

    def faces(
        self, photos: Sequence[Tensor], squares: Sequence[Crop], sizes: Sequence[float]
    ) -> list[Judgement]:
        """Judge squares, each cut out of a photograph.

        photos: each uint8 (H, W, 3), RGB, on the device, one for each square.
        sizes: longer side of each face, in pixels of its photograph; 0 for a whole photograph.
        """
        judged: list[Judgement] = []
        predictor = self._predictor
        for start in range(0, len(squares), self._at_once):
            chunk = slice(start, start + self._at_once)
            with self.stream.active():
                cut = resized_together(photos[chunk], squares[chunk], predictor.side)
                answer = fetched(self._classify(cut))
            self.stream.wait()
            male, nobody, sharp = answer.unbind(1)
            size = torch.tensor(sizes[chunk])
            p_male = predictor.calibration.p_male(male, size, sharp)
            near = (p_male[:, None] - predictor.borders).abs().amin(1) < self._doubt
            if predictor.exact is not predictor.classifier and bool(near.any()):
                with self.stream.active():
                    again = cut[moved(near.nonzero()[:, 0], cut.device)]
                    exact = fetched(predictor.exact(again).float())
                self.stream.wait()
                p_male[near] = predictor.calibration.p_male(exact[:, 0], size[near], sharp[near])
            answers = zip(
                p_male.tolist(), torch.sigmoid(nobody).tolist(), sharp.tolist(), strict=True
            )
            judged += [Judgement(*each) for each in answers]
        return judged

    def _logits_and_sharpness(self, squares: Tensor) -> Tensor:
        """Return the logits and the sharpness of each square: float32 (B, 3).

        squares: uint8 (B, 3, side, side).
        """
        logits = self._predictor.classifier(squares).float()
        return torch.cat((logits, sharpness(squares)[:, None]), 1)

    def _graph(self, network: Callable[[Tensor], Tensor], side: int) -> Graph:
        shape = self._at_once, side, side, 3  # permuted to channels_last, the fastest layout
        with self.stream.active():
            given = torch.zeros(shape, dtype=torch.uint8, device=self._predictor.device)
        return Graph(network, given.permute(0, 3, 1, 2), self.stream)
