"""What is cut out of which photograph: main faces, further ones, and places without a face."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np
from rich.console import Console
from rich.progress import track

from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Refused
from gdwatch.decode.reduce import Pixels, Reduction, view
from gdwatch.errors import GdwatchError
from gdwatch.inference.detection import overlap
from gdwatch.inference.faces import Detection, prominence
from gdwatch.inference.model_file import layout, read_models
from gdwatch.values import Box
from train.data.crops import EMPTY, FACE, FALSE, OTHER, WHOLE, CropRow
from train.data.prepare import LIMITS
from train.data.sources import CLASSES, NOBODY, Entry
from train.detection import boxes
from train.detection.boxes import Face
from train.detection.false_faces import MOST_AMONG_PEOPLE, MOST_WITHOUT_PEOPLE, Look, mine

_BATCH = 64
_RANDOM = 6  # random places that are cut out of each photograph without people
_SMALLEST, _LARGEST = 0.03, 0.6  # their sides, in longer sides of the photograph
_SAME = 0.4  # intersection over union from which two boxes show the same face
_FILLED = 0.3  # a photograph with a face of this share of its longer side has no place for others


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the faces on photographs, by path.

    faces: those that the published detector has found; None: the locator finds them.
    drawn: those that people drew.
    taught: further faces, each with a teacher's answer, 0 to 1.
    """

    faces: Mapping[str, Sequence[Face]] | None = None
    drawn: Mapping[str, Sequence[Face]] = field(default_factory=dict)
    taught: Mapping[str, Sequence[tuple[Box, float]]] = field(default_factory=dict)

    def all_on(self, path: str) -> list[Box]:
        """The boxes of all known faces on a photograph."""
        found = [] if self.faces is None else self.faces.get(path, ())
        return [face.box for face in (*found, *self.drawn.get(path, ()))]


@dataclass(frozen=True, slots=True)
class Cut:
    """What is cut out of a photograph. photo: as the service's networks see it, RGB."""

    row: CropRow
    photo: Pixels


def main_faces(
    photographs: Sequence[Entry], split: Mapping[str, str], look: Look, known: Known
) -> Iterator[Cut]:
    """Each prepared photograph with its most prominent face, or whole."""
    console = Console(stderr=True)
    starts = range(0, len(photographs), _BATCH)
    for start in track(starts, "cutting", console=console, disable=not console.is_terminal):
        some = photographs[start : start + _BATCH]
        read = [_read(entry) for entry in some]
        if known.faces is None:
            located = look.find([photo for photo, _ in read], look.locator.threshold)
        for number, (entry, (photo, scale)) in enumerate(zip(some, read, strict=True)):
            height, width = (side * scale for side in photo.shape[:2])
            if known.faces is None:
                found = [_as_face(each, scale) for each in located[number]]
                face = max(
                    found, key=lambda one: prominence(one[0].box, width, height), default=None
                )
            else:
                marked = boxes.most_prominent(known.faces.get(entry.path, ()), width, height)
                face = None if marked is None else (marked, marked.tilt)
            row = _row(entry, split, WHOLE, scale)
            if face is not None:
                row = _at(row, FACE, face[0].box, face[1], face[0].score)
            yield Cut(row, photo)


def _as_face(found: Detection, scale: float) -> tuple[Face, float]:
    """A located face in pixels of the original, and its tilt."""
    return Face(found.box, found.score, ()).scaled(scale), found.tilt


def other_faces(
    listed: Sequence[Entry],
    split: Mapping[str, str],
    known: Known,
    sizes: Mapping[str, tuple[int, int]],
) -> Iterator[Cut]:
    """The faces that a teacher answers for, but for those that are the label's.

    sizes: width and height of the prepared photographs, by path.
    """
    for entry in listed:
        found = () if known.faces is None else known.faces.get(entry.path, ())
        main = None
        if entry.label in CLASSES and entry.path in sizes:
            main = boxes.most_prominent(found, *sizes[entry.path])
        taught = [
            (box, p_male)
            for box, p_male in known.taught.get(entry.path, ())
            if main is None or overlap(main.box, box) <= _SAME
        ]
        # Most photographs have no further face: they need not be decoded.
        read = _read_if_possible(entry) if taught else None
        if read is None:
            continue
        photo, scale = read
        for box, p_male in taught:
            same = max(found, key=lambda face: overlap(face.box, box), default=None)
            tilt = same.tilt if same is not None and overlap(same.box, box) > _SAME else 0.0
            row = _at(_row(entry, split, OTHER, scale), OTHER, box, tilt, 1.0)
            yield Cut(replace(row, p_male=p_male), photo)


def false_faces(
    listed: Sequence[Entry],
    split: Mapping[str, str],
    looks: Sequence[Look],
    known: Known,
    sizes: Mapping[str, tuple[int, int]],
) -> Iterator[Cut]:
    """Places without a face: mined, and on photographs without people random ones and the whole.

    split: of each photograph, by path; those of `test` are left out.
    sizes: width and height of the prepared ones, by path; one that a face fills is left out.
    """
    for entry in listed:
        is_empty = entry.label == NOBODY
        if split[entry.path] == "test" or not (is_empty or known.faces is not None):
            continue
        faces = [] if is_empty else known.all_on(entry.path)
        # Most photographs are filled by a face: they need not be decoded.
        if any(max(box.width, box.height) > _FILLED * max(sizes.get(entry.path, (math.inf,)))
               for box in faces):  # fmt: skip
            continue
        read = _read_if_possible(entry)
        if read is None:
            continue
        photo, scale = read
        row = _row(entry, split, FALSE, scale)
        most = MOST_WITHOUT_PEOPLE if is_empty else MOST_AMONG_PEOPLE
        for found in mine(photo, looks, [scaled(box, 1 / scale) for box in faces], most):
            box = scaled(found.box, scale)
            yield Cut(_at(row, FALSE, box, found.tilt, found.score), photo)
        if is_empty:
            for box in _random_places(entry.path, photo):
                yield Cut(_at(row, FALSE, scaled(box, scale), 0.0, 0.0), photo)
            yield Cut(replace(row, kind=EMPTY), photo)


def _random_places(path: str, photo: Pixels) -> Iterable[Box]:
    height, width = photo.shape[:2]
    rng = np.random.default_rng([*hashlib.sha256(path.encode()).digest()])
    for _ in range(_RANDOM):
        share = math.exp(rng.uniform(math.log(_SMALLEST), math.log(_LARGEST)))
        side = share * max(height, width)
        x, y = (rng.uniform(0, max(1.0, length - side)) for length in (width, height))
        yield Box(x, y, side, side)


@cache
def as_served() -> Reduction:
    """How the service reduces a photograph for its default model."""
    return layout([each.details for each in read_models("auto", "face")], "face")


def _read(entry: Entry) -> tuple[Pixels, float]:
    """The photograph as the service's networks see it, and its original's width in widths of it."""
    if entry.place is None:
        raise _gone(entry.path)
    wanted = as_served()
    try:
        header, photo = decode(
            entry.place.read(), LIMITS, partial(view, wanted=wanted), wanted.least
        )
    except (Refused, OSError) as error:
        raise GdwatchError(
            f"{entry.path}: can no longer be read ({error})", "prepare the photographs again"
        ) from error
    return photo, header.width / photo.shape[1]


def _read_if_possible(entry: Entry) -> tuple[Pixels, float] | None:
    """As `_read`; None for a photograph that is not among the prepared ones and cannot be read."""
    try:
        return _read(entry)
    except GdwatchError:
        return None


def _row(entry: Entry, split: Mapping[str, str], kind: str, scale: float) -> CropRow:
    return CropRow(
        entry.path, entry.label, entry.source, split[entry.path], kind, scale=round(scale, 4)
    )


def _at(row: CropRow, kind: str, box: Box, tilt: float, score: float) -> CropRow:
    """The row with a box, rounded as the table is to be read by people."""
    x, y, width, height = (round(each, 1) for each in (box.x, box.y, box.width, box.height))
    return replace(
        row, kind=kind, x=x, y=y, width=width, height=height,
        score=round(score, 3), tilt=round(tilt, 1),
    )  # fmt: skip


def _gone(path: str) -> GdwatchError:
    return GdwatchError(f"{path}: not in the data", "name what the folder was prepared from")


def scaled(box: Box, scale: float) -> Box:
    """The same box on a photograph larger by this factor."""
    return Box(box.x * scale, box.y * scale, box.width * scale, box.height * scale)
