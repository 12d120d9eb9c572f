"""Cut out of photographs what the classifiers see, as the service does, with what they are."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import torch

from gdwatch.decode.reduce import Pixels
from gdwatch.errors import GdwatchError
from gdwatch.inference import crop
from gdwatch.values import Box
from train.atomic_files import publish
from train.data import crops
from train.data.crops import FACE, CropRow
from train.data.prepare import write_header
from train.data.prepared_set import (
    FILES,
    FRAMED,
    View,
    load,
    split_of_path,
    splits,
    stored_shape,
)
from train.data.sources import Entry
from train.detection.false_faces import Look
from train.detection.places import Cut, Known, false_faces, main_faces, other_faces, scaled

MARGIN = 1.4  # side of the square that the classifier sees, in longer sides of the face's box


def cut(
    listed: Sequence[Entry],
    folder: Path,
    looks: Sequence[Look],
    known: Known | None = None,
    views: Sequence[View] = ("face",),
) -> int:
    """Cut the most prominent face out of every prepared photograph, and more, in several views.

    Writes the file of each view, and the table of their rows, into the prepared folder: first all
    prepared pictures, with the whole photograph where no face is found; then the further faces that
    a teacher answers for; then false faces, of the splits `train` and `val`. Where all faces are
    known, these are mined on photographs with people, too.

    listed: where the photographs are. looks: the locator's first look, and the closer one.

    Returns how many photographs have a face. Raises GdwatchError.
    """
    known = known or Known()
    prepared = load(folder)
    entries = {entry.path: entry for entry in listed}
    split = splits(folder)
    split = {entry.path: split_of_path(entry.path, split) for entry in listed}
    for look in looks:
        look.locator.to(torch.device("cuda" if torch.cuda.is_available() else "cpu")).eval()
    # Until the new table is written, what was cut out before must not pass for what there is.
    for stale in (crops.TABLE, *(name for seen, name in FILES.items() if seen != "whole")):
        (folder / stale).unlink(missing_ok=True)
    gone = next((row.path for row in prepared.rows if row.path not in entries), None)
    if gone is not None:
        raise GdwatchError(f"{gone}: not in the data", "name what the folder was prepared from")
    photographs = [entries[row.path] for row in prepared.rows]
    sizes = {row.path: (row.width, row.height) for row in prepared.rows}
    parts = (
        main_faces(photographs, split, looks[0], known),
        other_faces(listed, split, known, sizes),
        false_faces(listed, split, looks, known, sizes),
    )
    rows = _write(chain.from_iterable(parts), folder, views)
    crops.write(rows, folder)
    return sum(row.kind == FACE for row in rows)


def _write(cuts: Iterable[Cut], folder: Path, views: Sequence[View]) -> list[CropRow]:
    """Write the pixels of each view; returns what they show."""
    rows: list[CropRow] = []
    with ExitStack() as stack:
        streams: dict[View, BinaryIO] = {}
        for each in views:
            aside = stack.enter_context(publish(folder / FILES[each]))
            streams[each] = stack.enter_context(aside.open("wb"))
            write_header(streams[each], 0, stored_shape(each))
        for one in cuts:
            rows.append(one.row)
            for each, stream in streams.items():
                stream.write(_pixels(one, each).tobytes())
        for each, stream in streams.items():
            stream.seek(0)
            write_header(stream, len(rows), stored_shape(each))
    return rows


def _pixels(one: Cut, seen: View) -> Pixels:
    """One view of what is cut out, with its rim: uint8 (H, W, 3), RGB."""
    row, side = one.row, stored_shape(seen)[0]
    box = None
    if row.size:
        box = scaled(Box(row.x, row.y, row.width, row.height), 1 / row.scale)
    if seen == "surroundings":
        return crop.surroundings(one.photo, box, FRAMED)
    if box is None:
        return crop.around(one.photo, side, FRAMED)
    if seen == "upright":
        return crop.upright(one.photo, box, row.tilt, MARGIN * FRAMED, side)
    return crop.face(one.photo, box, MARGIN * FRAMED, side)
