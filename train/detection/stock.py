"""Read and sort the photographs that scenes are composed of, with their detected faces."""

import io
import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from gdwatch.decode import reduce
from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Refused
from gdwatch.decode.reduce import Picture
from gdwatch.networks.locator import LANDMARKS
from train.data.prepare import LIMITS
from train.data.sources import NOBODY, Entry
from train.detection.boxes import Face
from train.detection.scenes import Photograph, Stock

_CLOSE = 0.3  # a face longer than this share of the picture's longer side fills its picture


def load(
    listed: Sequence[Entry],
    faces: Mapping[str, Sequence[Face]],
    repeat: Mapping[str, int],
    close: int,
    longest: int,
) -> Stock:
    """Read the photographs that scenes are composed of; unreadable ones are left out.

    faces: by path, as `boxes.read` gives them.
    repeat: by source, how often its wide photographs are repeated; 1 where it is not named.
    close: how many pictures that one face fills are taken of each source, at most.
    longest: as for `read`.
    """
    wide: list[Photograph] = []
    near: list[Photograph] = []
    empty: list[Photograph] = []
    taken: dict[str, int] = {}
    console = Console(stderr=True)
    for entry in track(listed, "reading", console=console, disable=not console.is_terminal):
        found = faces.get(entry.path, [])
        filled = _filled(entry, found)
        if filled and taken.get(entry.source, 0) >= close:
            continue
        photograph = read(entry, found, longest)
        if photograph is None:
            continue
        if entry.label == NOBODY:
            empty.append(photograph)
        elif filled:
            taken[entry.source] = taken.get(entry.source, 0) + 1
            near.append(photograph)
        elif found:
            wide.extend([photograph] * repeat.get(entry.source, 1))
    return Stock(wide, near, empty)


def read(entry: Entry, found: Sequence[Face], longest: int) -> Photograph | None:
    """Read and shrink a photograph, with its faces in its new pixels; None if unreadable.

    longest: pixels of its longer side that are kept, at most.
    """
    if entry.place is None:
        return None
    try:
        header, image = decode(entry.place.read(), LIMITS, partial(_shrunk, longest=longest))
    except (Refused, OSError):
        return None
    scale = image.width / header.width
    rows = [
        (
            face.box.x * scale,
            face.box.y * scale,
            (face.box.x + face.box.width) * scale,
            (face.box.y + face.box.height) * scale,
            face.score,
            *([value * scale for value in face.landmarks] or [math.nan] * (2 * LANDMARKS)),
        )
        for face in found
    ]
    return Photograph(image, np.array(rows, np.float32).reshape(-1, 5 + 2 * LANDMARKS))


def _shrunk(picture: Picture, longest: int) -> Image.Image:
    photo = reduce.image(picture)
    scale = longest / max(photo.size)
    if scale >= 1:
        return photo.copy()
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    return photo.resize(size, Image.Resampling.BILINEAR)


def _filled(entry: Entry, found: Sequence[Face]) -> bool:
    """Whether one face fills its picture: such pictures are pasted, the others are cropped."""
    if len(found) != 1 or entry.place is None:
        return False
    try:
        with Image.open(io.BytesIO(entry.place.read())) as image:
            return max(found[0].box.width, found[0].box.height) > _CLOSE * max(image.size)
    except OSError:
        return False  # `read` returns None for it
