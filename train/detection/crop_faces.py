"""Cut the face out of every prepared photograph, as the service does with the same locator."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Refused
from gdwatch.decode.reduce import Reduction, view
from gdwatch.errors import GdwatchError
from gdwatch.inference import crop
from gdwatch.inference.detection import find, thumbnails
from gdwatch.inference.faces import Detection, prominence
from gdwatch.networks.locator import Locator
from gdwatch.values import Box
from train.atomic_files import publish
from train.data.prepare import LIMITS, write_header
from train.data.prepared_set import BOXES, FACES, RIM, SIDE, load, split_of_path, splits
from train.data.sources import NOBODY, Entry, Place
from train.detection import boxes
from train.detection.boxes import Face

MARGIN = 1.4  # side of the square that the classifier sees, in longer sides of the face's box
FRAMED = (SIDE + 2 * RIM) / SIDE  # side of the square with its rim, in sides of that without
_KEPT = 1024  # pixels of a photograph's longer side, at least
_BATCH = 64
_NOBODY = 8  # squares that are cut from each photograph without people
_MISTAKEN = 0.1  # least score of a false detection that is cut out there

Pixels = NDArray[np.uint8]


def cut(listed: Sequence[Entry], folder: Path, locator: Locator, side: int) -> int:
    """Write the face of every prepared photograph, or the whole of it where no face is found.

    Writes `FACES`, uint8 (N + K, SIDE + 2 RIM, SIDE + 2 RIM, 3), RGB, and `BOXES` into the folder.
    The last K squares have no face: they are cut from the photographs without people of the split
    `train`.

    listed: where the photographs are. side: of the locator's input, in pixels.

    Returns how many photographs have a face. Raises GdwatchError.
    """
    prepared = load(folder)
    places = {entry.path: entry.place for entry in listed}
    known = splits(folder)
    empty = [
        entry.path
        for entry in listed
        if entry.label == NOBODY and split_of_path(entry.path, known) == "train"
    ]
    locator.to(torch.device("cuda" if torch.cuda.is_available() else "cpu")).eval()
    kept: dict[str, list[Face]] = {}
    paths = [row.path for row in prepared.rows]
    console = Console(stderr=True)
    with publish(folder / FACES) as aside, aside.open("wb") as stream:
        write_header(stream, len(paths) + _NOBODY * len(empty), SIDE + 2 * RIM)
        seen = _located(paths, places, (locator, locator.threshold), side)
        for path, photo, width, found in track(
            seen, "cutting", len(paths), console=console, disable=not console.is_terminal
        ):
            square, box = _square(photo, found)
            stream.write(square.tobytes())
            if box is not None:
                scale = width / photo.shape[1]
                whole = Box(box.x * scale, box.y * scale, box.width * scale, box.height * scale)
                kept[path] = [Face(whole, 1.0, ())]
        for path, photo, _, found in _located(empty, places, (locator, _MISTAKEN), side):
            for square in _nobody(path, photo, found):
                stream.write(square.tobytes())
    boxes.write(kept, folder / BOXES)
    return len(kept)


def _located(
    paths: Sequence[str],
    places: Mapping[str, Place | None],
    finder: tuple[Locator, float],
    side: int,
) -> Iterator[tuple[str, Pixels, int, list[Box]]]:
    """Each photograph with the width of its original, and its faces in pixels of the photograph.

    finder: the locator, and the least score of a face.
    """
    locator, threshold = finder
    device = next(locator.parameters()).device
    for start in range(0, len(paths), _BATCH):
        some = paths[start : start + _BATCH]
        looked = [_read_photograph(path, places) for path in some]
        shown = thumbnails([photo for photo, _ in looked], side)
        with torch.inference_mode():
            answer = locator(shown.to(device).permute(0, 3, 1, 2)).cpu()
        for path, (photo, width), faces in zip(some, looked, find(answer, threshold), strict=True):
            yield path, photo, width, _in_photo(faces, max(photo.shape[:2]) / side)


def _read_photograph(path: str, places: Mapping[str, Place | None]) -> tuple[Pixels, int]:
    """The photograph, RGB, and the width of its original."""
    place = places.get(path)
    if place is None:
        raise GdwatchError(f"{path}: not in the data", "name what the folder was prepared from")
    wanted = Reduction(_KEPT, whole=False)
    try:
        header, seen = decode(place.read(), LIMITS, partial(view, wanted=wanted), wanted.least)
    except (Refused, OSError) as error:
        raise GdwatchError(
            f"{path}: can no longer be read ({error})", "prepare the photographs again"
        ) from error
    return seen, header.width


def _in_photo(faces: Sequence[Detection], scale: float) -> list[Box]:
    return [
        Box(each.box.x * scale, each.box.y * scale, each.box.width * scale, each.box.height * scale)
        for each in faces
    ]


def _square(photo: Pixels, found: Sequence[Box]) -> tuple[Pixels, Box | None]:
    height, width = photo.shape[:2]
    first = max(found, key=lambda box: prominence(box, width, height), default=None)
    if first is None:
        return crop.around(photo, SIDE + 2 * RIM, FRAMED), None
    return crop.face(photo, first, MARGIN * FRAMED, SIDE + 2 * RIM), first


def _nobody(path: str, photo: Pixels, mistaken: Sequence[Box]) -> Iterator[Pixels]:
    """Squares of a photograph without people: false detections first, then random places."""
    height, width = photo.shape[:2]
    rng = np.random.default_rng([*hashlib.sha256(path.encode()).digest()])
    for number in range(_NOBODY):
        if number < len(mistaken):
            box = mistaken[number]
        else:
            length = max(height, width) * rng.uniform(0.08, 0.6)
            box = Box(rng.uniform(0, width - length / 2), rng.uniform(0, height - length / 2),
                      length, length)  # fmt: skip
        yield crop.face(photo, box, MARGIN * FRAMED, SIDE + 2 * RIM)
