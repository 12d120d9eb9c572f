"""The engine's work on a CUDA card: all of it, from the slots to the scores, but finding faces.

A batch goes through in two halves, so that the card has another one to work on while a processor
reads what the locator answered:

    upload ─▶ thumbnails ─▶ locator ─▶ find (processor) ─▶ crops ─▶ classifier

The card does everything in one stream, and so in the order in which it is asked to: its buffers
may be written again as soon as what reads them is asked for. The processor's memory is another
matter: nothing may change or be read there until the card says that it is past that point.
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
from gdwatch.inference.crop_geometry import Square, square_around, square_of
from gdwatch.inference.detection import find
from gdwatch.inference.device import fetched, moved
from gdwatch.inference.faces import most_prominent, to_scores
from gdwatch.inference.predictor import Finish, PlainPredictor, warn_fallback
from gdwatch.inference.sharpness import sharpness
from gdwatch.values import Scores

_AT_ONCE = 128  # photographs, and faces, that the networks see together

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Begun:
    """A batch of which the first half is asked for.

    photos: each uint8 (H, W, 3), in its slot. uploaded: the same, on the device.
    answer: the locator's, once `wait` has returned; None where no locator looks.
    """

    photos: Sequence[Pixels]
    uploaded: list[Tensor]
    answer: Tensor | None
    wait: Callable[[], None]


class CudaPredictor:
    """The networks of an engine on its device, which is a card but in tests.

    doubt: what lies nearer to a border is judged again by `predictor.exact`.
    at_once: photographs, and faces, that the networks see together; always as many.
    stream: in which the device is asked to do everything.

    What the device has no memory for, the engine judges in halves; and everything, once the device
    has failed in another way.
    """

    depth = 2  # batches begun at once

    @torch.inference_mode()
    def __init__(self, predictor: PlainPredictor, doubt: float, at_once: int = _AT_ONCE) -> None:
        self._predictor = predictor
        self._doubt = doubt
        self._at_once = at_once
        self._has_failed = False
        self.stream = Stream(predictor.device)
        self._classify = self._graph(self._classified, predictor.side)
        self._locate: Graph | None = None
        if predictor.locator is not None:
            self._locate = self._graph(predictor.locator, predictor.thumbnail)

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        """Ask for the first half of a batch, and do not wait for it.

        photos: as for `PlainPredictor.judge`; they must stay as they are until the batch is
            finished.

        Returns what finishes it and gives what `PlainPredictor.judge` gives.
        """
        size = self._at_once
        first, *others = (photos[start : start + size] for start in range(0, len(photos), size))
        begun = self._tried(partial(self.enqueue, first))

        def finish() -> tuple[list[Scores], int]:
            scores, splits = self._finished(first, begun)
            for part in others:
                more, more_splits = self._finished(part, self._tried(partial(self.enqueue, part)))
                scores, splits = scores + more, splits + more_splits
            return scores, splits

        return finish

    def _finished(self, photos: Sequence[Pixels], begun: Begun | None) -> tuple[list[Scores], int]:
        scores = self._tried(partial(self._judged, begun)) if begun else None
        if scores is not None:
            return scores, 0
        if begun:
            begun.uploaded.clear()  # the engine needs the room
        scores, splits = self._predictor.judge(photos)
        return scores, splits + (not self._has_failed)

    def _tried(self, step: Callable[[], Result]) -> Result | None:
        """None if the device cannot do it, and does nothing with the photographs any more."""
        if self._has_failed:
            return None
        try:
            return step()
        except torch.OutOfMemoryError:
            pass
        except RuntimeError as error:
            self._has_failed = True
            warn_fallback(self._predictor.device, repr(error))
        # Only here: as long as it is handled, an error keeps tensors alive.
        self.stream.wait()
        torch.cuda.empty_cache()
        return None

    @torch.inference_mode()
    def enqueue(self, photos: Sequence[Pixels]) -> Begun:
        """Ask for the first half of a batch that the networks can see together."""
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
        squares: list[Square] = []
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

    def faces(
        self, photos: Sequence[Tensor], squares: Sequence[Square]
    ) -> list[tuple[float, float]]:
        """The probability of `male` and the sharpness of each square.

        photos: on the device, one for each square.
        """
        judged: list[tuple[float, float]] = []
        for start in range(0, len(squares), self._at_once):
            some = slice(start, start + self._at_once)
            with self.stream.active():
                cut = resized_together(photos[some], squares[some], self._predictor.side)
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

    def _classified(self, squares: Tensor) -> Tensor:
        """Float32 (B, 2): what `faces` says. squares: uint8 (B, 3, side, side)."""
        return torch.stack(
            (self.p_male(self._predictor.classifier, squares), sharpness(squares)), 1
        )

    def p_male(self, network: nn.Module, squares: Tensor) -> Tensor:
        """What a network says of squares on the device: float32 (N,) there."""
        return torch.sigmoid(network(squares).float() / self._predictor.temperature)

    def _graph(self, network: Callable[[Tensor], Tensor], side: int) -> Graph:
        shape = self._at_once, side, side, 3  # seen as channels_last: what networks like best
        with self.stream.active():
            given = torch.zeros(shape, dtype=torch.uint8, device=self._predictor.device)
        return Graph(network, given.permute(0, 3, 1, 2), self.stream)
