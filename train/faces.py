"""Cut the face out of every prepared photograph, as the service does with the same locator."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from gdwatch import crop
from gdwatch.decode import decode
from gdwatch.errors import GdwatchError
from gdwatch.locator import Found, Locator, find
from gdwatch.prominence import prominence
from gdwatch.values import Box
from train import boxes
from train.boxes import Face
from train.pictures import BOXES, FACES, RIM, SIDE, load
from train.prepare import LIMITS, write_header
from train.publish import publish
from train.sources import Entry, Place

MARGIN = 1.4  # of the square that the classifier sees: side by the longer side of the box
FRAMED = (SIDE + 2 * RIM) / SIDE  # what is kept is so much larger, to be shifted and turned in
_LONGEST = 1024  # pixels of a photograph's longer side that are looked at
_BATCH = 64

Pixels = NDArray[np.uint8]


def cut(listed: Sequence[Entry], folder: Path, locator: Locator, side: int) -> int:
    """Write the face of every prepared photograph, or the whole of it where no face is found.

    Leaves `FACES`, uint8 (N, SIDE + 2 RIM, SIDE + 2 RIM, 3), RGB, and `BOXES` in the folder.

    listed: where the photographs lie. side: of the locator's input, pixels.

    Returns on how many photographs a face was found. Raises GdwatchError.
    """
    prepared = load(folder)
    places = {entry.path: entry.place for entry in listed}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    locator.to(device).eval()
    kept: dict[str, list[Face]] = {}
    paths = [row.path for row in prepared.rows]
    console = Console(stderr=True)
    starts = range(0, len(paths), _BATCH)
    with publish(folder / FACES) as aside, aside.open("wb") as stream:
        write_header(stream, len(paths), SIDE + 2 * RIM)
        for start in track(starts, "cutting", console=console, disable=not console.is_terminal):
            some = paths[start : start + _BATCH]
            seen = [_look(path, places, side) for path in some]
            thumbnails = torch.from_numpy(np.stack([thumbnail for _, thumbnail, _ in seen]))
            with torch.inference_mode():
                answer = locator(thumbnails.to(device).permute(0, 3, 1, 2)).cpu()
            found = find(answer, locator.threshold)
            for path, (photo, _, width), faces in zip(some, seen, found, strict=True):
                square, box = _square(photo, faces, side)
                stream.write(square.tobytes())
                if box is not None:
                    scale = width / photo.shape[1]
                    whole = Box(box.x * scale, box.y * scale, box.width * scale, box.height * scale)
                    kept[path] = [Face(whole, 1.0, ())]
    boxes.write(kept, folder / BOXES)
    return len(kept)


def _look(path: str, places: Mapping[str, Place | None], side: int) -> tuple[Pixels, Pixels, int]:
    """The photograph and its thumbnail, both RGB, and the original's width."""
    place = places.get(path)
    if place is None:
        raise GdwatchError(f"{path}: not in the data", "name what the folder was prepared from")
    header, (photo, thumbnail) = decode(place.read(), LIMITS, partial(_both, side=side))
    return photo, thumbnail, header.width


def _both(photo: Image.Image, side: int) -> tuple[Pixels, Pixels]:
    return crop.limited(photo, _LONGEST), crop.thumbnail(photo, side)


def _square(photo: Pixels, faces: Sequence[Found], side: int) -> tuple[Pixels, Box | None]:
    height, width = photo.shape[:2]
    scale = max(height, width) / side
    found = [
        Box(each.box.x * scale, each.box.y * scale, each.box.width * scale, each.box.height * scale)
        for each in faces
    ]
    first = max(found, key=lambda box: prominence(box, width, height), default=None)
    if first is None:
        return crop.around(photo, SIDE + 2 * RIM, FRAMED), None
    return crop.face(photo, first, MARGIN * FRAMED, SIDE + 2 * RIM), first
