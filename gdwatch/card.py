"""The engine's work on a CUDA card: all of it, from the slots to the scores, but finding faces.

A batch goes through in two halves, so that the card has another one to work on while a processor
reads what the locator answered:

    upload ─▶ thumbnails ─▶ locator ─▶ find (processor) ─▶ crops ─▶ classifier

The card does everything in one stream, and so in the order in which it is asked to: its buffers
may be written again as soon as what reads them is asked for. The processor's memory is another
matter: nothing may change or be read there until the card says that it is past that point.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gdwatch import crop
from gdwatch.crop import Axis, Square
from gdwatch.cuda import Graph, Stream, fetched, moved, pin
from gdwatch.faces import chosen, scored
from gdwatch.locator import BESIDE, find, scores_and_boxes, shown, thumbnails
from gdwatch.resample import resized_together
from gdwatch.sharpness import sharpness
from gdwatch.shrink import Pixels
from gdwatch.values import Box, Scores

if TYPE_CHECKING:  # it is the program, and would be loaded a second time
    from gdwatch.engine import Engine, Finish

_AT_ONCE = 128  # photographs, and faces, that the networks see together
_APART = 1.0  # pixels of the thumbnail by which a box may differ from the plain one
_LIKELIEST = 4  # places on a thumbnail whose boxes are compared
_LEVELS = 2  # by which a pixel of a crop may differ
_TRIED = ((640, 480), (90, 200), (200, 90), (48, 48), (1, 3))  # widths and heights, pixels

Result = TypeVar("Result")


def on_card(engine: "Engine", slots: Pixels, doubt: float) -> "Card | Engine":
    """What judges on an engine's card: a `Card`, if that answers as the engine does.

    slots: the memory of all of them.
    doubt: as for `Card`.
    """
    torch.backends.cudnn.allow_tf32 = False  # convolutions that are meant to be exact would not be
    try:
        pin(slots, engine.device)
        card = Card(engine, doubt)
        card.test()
    except Exception as error:  # whatever it is, the engine does without
        _say(engine.device, error)
        return engine
    return card


def _say(device: torch.device, error: Exception) -> None:
    sys.stderr.write(f"gdwatch: {device}: judged the plain way, which is slower: {error!r}\n")


class Differs(Exception):  # noqa: N818 - of two answers
    """What the card answers is not what the plain way answers."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch of which the first half is asked for.

    photos: each uint8 (H, W, 3), in its slot. uploaded: the same, on the device.
    answer: the locator's, once `wait` has returned; None where no locator looks.
    """

    photos: Sequence[Pixels]
    uploaded: list[Tensor]
    answer: Tensor | None
    wait: Callable[[], None]


class Card:
    """The networks of an engine on its device, which is a card but in tests.

    doubt: what lies nearer to a border is judged again by `engine.exact`.
    at_once: photographs, and faces, that the networks see together; always as many.

    What the device has no memory for, the engine judges in halves; and everything, once the device
    has failed in another way.
    """

    depth = 2  # batches begun at once

    @torch.inference_mode()
    def __init__(self, engine: "Engine", doubt: float, at_once: int = _AT_ONCE) -> None:
        self._engine = engine
        self._doubt = doubt
        self._at_once = at_once
        self._has_failed = False
        self._stream = Stream(engine.device)
        self._classify = self._graph(self._classified, engine.side)
        self._locate: Graph | None = None
        if engine.locator is not None:
            self._locate = self._graph(engine.locator, engine.thumbnail)

    def begin(self, photos: Sequence[Pixels]) -> "Finish":
        """Ask for the first half of a batch, and do not wait for it.

        photos: as for `Engine.judge`; they must stay as they are until the batch is finished.

        Returns what finishes it and gives what `Engine.judge` gives.
        """
        size = self._at_once
        first, *others = (photos[start : start + size] for start in range(0, len(photos), size))
        begun = self._tried(partial(self._begin, first))

        def finish() -> tuple[list[Scores], int]:
            scores, splits = self._finished(first, begun)
            for part in others:
                more, more_splits = self._finished(part, self._tried(partial(self._begin, part)))
                scores, splits = scores + more, splits + more_splits
            return scores, splits

        return finish

    def _finished(self, photos: Sequence[Pixels], begun: _Begun | None) -> tuple[list[Scores], int]:
        scores = self._tried(partial(self._judged, begun)) if begun else None
        if scores is not None:
            return scores, 0
        if begun:
            begun.uploaded.clear()  # the engine needs the room
        scores, splits = self._engine.judge(photos)
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
            _say(self._engine.device, error)
        # Only here: as long as it is handled, an error keeps tensors alive.
        self._stream.wait()
        torch.cuda.empty_cache()
        return None

    @torch.inference_mode()
    def _begin(self, photos: Sequence[Pixels]) -> _Begun:
        answer = None
        with self._stream.asked():
            uploaded = [
                torch.from_numpy(photo).to(self._engine.device, non_blocking=True)
                for photo in photos
            ]
            if self._locate is not None:
                answer = fetched(
                    self._locate(thumbnails_together(uploaded, self._engine.thumbnail))
                )
        return _Begun(photos, uploaded, answer, self._stream.mark())

    @torch.inference_mode()
    def _judged(self, begun: _Begun) -> list[Scores]:
        begun.wait()
        engine = self._engine
        if begun.answer is None or engine.locator is None:
            whole = [crop.square_around(engine.side, engine.side, engine.side)] * len(begun.photos)
            return [Scores(p_male) for p_male, _ in self._faces(begun.uploaded, whole)]
        located = find(begun.answer[: len(begun.photos)], engine.locator.threshold)
        faces = []
        photos: list[Tensor] = []
        squares: list[Square] = []
        for photo, found in zip(begun.uploaded, located, strict=True):
            height, width = photo.shape[:2]
            best = chosen(found, engine.thumbnail, width, height)
            faces.append(best)
            cut = [
                crop.square_of(each.box, engine.margin, engine.side, width, height) for each in best
            ] or [crop.square_around(engine.side, width, height)]
            photos += [photo] * len(cut)
            squares += cut
        return scored(map(len, located), faces, self._faces(photos, squares))

    def _faces(
        self, photos: Sequence[Tensor], squares: Sequence[Square]
    ) -> list[tuple[float, float]]:
        """The probability of `male` and the sharpness of each square.

        photos: on the device, one for each square.
        """
        judged: list[tuple[float, float]] = []
        for start in range(0, len(squares), self._at_once):
            some = slice(start, start + self._at_once)
            with self._stream.asked():
                cut = resized_together(photos[some], squares[some], self._engine.side)
                answer = fetched(self._classify(cut))
            self._stream.wait()
            p_male, sharp = answer.unbind(1)
            near = (p_male[:, None] - self._engine.borders).abs().amin(1) < self._doubt
            if self._engine.exact is not self._engine.classifier and bool(near.any()):
                with self._stream.asked():
                    again = cut[moved(near.nonzero()[:, 0], cut.device)]
                    exact = fetched(self._p_male(self._engine.exact, again))
                self._stream.wait()
                p_male[near] = exact
            judged += zip(p_male.tolist(), sharp.tolist(), strict=True)
        return judged

    def _classified(self, squares: Tensor) -> Tensor:
        """Float32 (B, 2): what `_faces` says. squares: uint8 (B, 3, side, side)."""
        return torch.stack((self._p_male(self._engine.classifier, squares), sharpness(squares)), 1)

    def _p_male(self, network: nn.Module, squares: Tensor) -> Tensor:
        return torch.sigmoid(network(squares).float() / self._engine.temperature)

    def _graph(self, network: Callable[[Tensor], Tensor], side: int) -> Graph:
        shape = self._at_once, side, side, 3  # seen as channels_last: what networks like best
        with self._stream.asked():
            given = torch.zeros(shape, dtype=torch.uint8, device=self._engine.device)
        return Graph(network, given.permute(0, 3, 1, 2), self._stream)

    # ------------------------------------------------------------------ the test at the start

    @torch.inference_mode()
    def test(self) -> None:
        """Judge made pictures, two batches under way at once; what is recorded is recorded here.

        Raises Differs if the plain way gives other answers, and whatever the device raises.
        """
        sizes = _TRIED if self._engine.locator else [(self._engine.side,) * 2]
        batches = [
            self._begin([_picture(turn, *size) for size in sizes[: self._at_once]])
            for turn in range(self.depth)
        ]
        for begun in batches:
            begun.wait()
            self._compare_locator(begun)
            self._compare_classifier(begun)

    def _compare_locator(self, begun: _Begun) -> None:
        engine = self._engine
        if begun.answer is None or engine.locator is None:
            return
        batch = moved(thumbnails(begun.photos, engine.thumbnail), engine.device)
        plain = engine.locator(batch.permute(0, 3, 1, 2)).cpu()
        scores, boxes = scores_and_boxes(begun.answer[: len(plain)])
        plain_scores, plain_boxes = scores_and_boxes(plain)
        _require("scores of faces", scores, plain_scores, self._doubt)
        cells = plain_scores.topk(_LIKELIEST, 1).indices[:, :, None].expand(-1, -1, 4)
        _require("boxes", boxes.gather(1, cells), plain_boxes.gather(1, cells), _APART)

    def _compare_classifier(self, begun: _Begun) -> None:
        engine = self._engine
        squares: list[Square] = []
        cut: list[Pixels] = []
        for photo in begun.photos:
            height, width = photo.shape[:2]
            box = Box(width * 0.6, height * 0.3, width * 0.5, height * 0.4)  # beyond the edge, too
            squares.append(crop.square_of(box, engine.margin, engine.side, width, height))
            cut.append(crop.face(photo, box, engine.margin, engine.side))
        plain = np.stack(cut)
        with self._stream.asked():
            pixels = resized_together(begun.uploaded, squares, engine.side).permute(0, 2, 3, 1)
            found = fetched(pixels.contiguous())
        p_male = [p for p, _ in self._faces(begun.uploaded, squares)]
        _require("pixels", found.float(), torch.from_numpy(plain).float(), _LEVELS)
        _require(
            "probabilities",
            torch.tensor(p_male),
            torch.tensor(engine.classify(plain)[0]),
            self._doubt,
        )


def _picture(turn: int, width: int, height: int) -> Pixels:
    """A soft pattern, another one for each turn and size: uint8 (H, W, 3)."""
    down, across = np.ogrid[0 : height / 40 : height * 1j, 0 : width / 40 : width * 1j]
    waves = [np.sin((turn + 2) * across + tone) * np.cos(down - tone * across) for tone in range(3)]
    return (127.5 + 127 * np.stack(waves, 2)).astype(np.uint8)


def _require(what: str, found: Tensor, plain: Tensor, most: float) -> None:
    apart = float((found - plain).abs().max())
    if not apart <= most:  # it may be no number
        raise Differs(f"{what} differ by {apart:.3g}")


def thumbnails_together(photos: Sequence[Tensor], side: int) -> Tensor:
    """As `locator.thumbnails`, for photographs on a device: uint8 (N, 3, side, side) there.

    photos: each uint8 (H, W, 3), RGB.
    """
    squares = [_shown(photo.shape[0], photo.shape[1], side) for photo in photos]
    made = resized_together(photos, squares, side)
    ends = [(square.rows.count, square.columns.count) for square in squares]
    rows, columns = moved(torch.tensor(ends), made.device)[:, :, None].unbind(1)
    place = torch.arange(side, device=made.device)
    beside = (place >= rows)[:, None, :, None] | (place >= columns)[:, None, None]
    return made.masked_fill_(beside, BESIDE)


def _shown(height: int, width: int, side: int) -> Square:
    """The square of a thumbnail, what is beside the photograph as its edge repeated."""
    rows, columns = shown(height, width, side)
    return Square(Axis(slice(0, rows), slice(0, height)), Axis(slice(0, columns), slice(0, width)))
