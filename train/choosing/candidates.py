"""The photographs of a root that nobody has judged, and what a model sees of each."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import sqlalchemy as sa
import torch
from rich.console import Console
from rich.progress import track

from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Limits, Refused
from gdwatch.decode.reduce import Pixels, view
from gdwatch.errors import UsageError
from gdwatch.files import escaping
from gdwatch.inference import crop
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import layout
from gdwatch.ledger.opening import open_to_read
from gdwatch.ledger.tables import corrections, files, results
from gdwatch.networks.pooled import PooledClassifier
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Box
from train.metrics import Floats

_BATCH = 64
_LOOKS = ((1.0, 0.0), (1.15, 0.0), (1.0, 0.06), (1.0, -0.06))  # margin, and shift in longer sides


@dataclass(frozen=True, slots=True)
class Candidate:
    """A filed photograph without a person's verdict.

    path: as the ledger has it. box: of the face that was judged, in pixels of the upright picture;
    size: width and height of that.
    """

    id: int
    path: str
    outcome: str
    confidence: float
    box: Box
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """The candidates that could be read. p_male: (V, N), of V looks; embedded: (N, D)."""

    candidates: list[Candidate]
    p_male: Floats
    embedded: Floats


def candidates(settings: Settings, most: int) -> list[Candidate]:
    """The least sure filed photographs with a face and without a verdict, `most` at most.

    Raises GdwatchError.
    """
    last = (
        sa.select(corrections.c.label)
        .where(corrections.c.file_id == files.c.id)
        .order_by(corrections.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    with (
        closing(open_to_read(settings, root_id.read_id(Folders.of(settings)))) as ledger,
        ledger.reading() as connection,
    ):
        query = (
            sa.select(files.c.id, files.c.path, files.c.outcome, results)
            .join(results, results.c.id == files.c.result_id)
            .where(
                files.c.root_id == ledger.root_id,
                files.c.state == "filed",
                files.c.outcome.in_(("female", "male", "unsure")),
                results.c.box_w.is_not(None),
                results.c.confidence.is_not(None),
                last.is_(None),
            )
            .order_by(results.c.confidence, files.c.id)
            .limit(most)
        )
        return [
            Candidate(
                row.id, row.path, row.outcome, row.confidence,
                Box(row.box_x, row.box_y, row.box_w, row.box_h), (row.width, row.height),
            )
            for row in connection.execute(query)
        ]  # fmt: skip


def look(model: Model, settings: Settings, asked: Sequence[Candidate]) -> Seen:
    """Judge the face of each candidate in several crops that differ a little.

    Those that cannot be read are left out. Raises UsageError for a model that sees no faces alone.
    """
    network, margin = model.classifier.eval(), model.details.preprocessing.margin
    if margin is None or not isinstance(network, PooledClassifier):
        raise UsageError(
            f"model {model.details.name}: does not see faces alone", "name fast, or one made of it"
        )
    side = model.details.classifier.input
    seen: list[Candidate] = []
    p_male: list[Floats] = []
    embedded: list[Floats] = []
    with torch.inference_mode():
        photographs = _read(model, settings, asked)
        while some := list(islice(photographs, _BATCH)):
            squares = np.stack([_squares(photo, each.box, margin, side) for each, photo in some])
            flat = torch.from_numpy(squares.reshape(-1, side, side, 3)).permute(0, 3, 1, 2)
            features = network.embed(flat)
            logits = network.head(features)[:, 0] / model.details.temperature
            p_male.append(torch.sigmoid(logits).double().numpy().reshape(len(some), -1).T)
            own = features.reshape(len(some), len(_LOOKS), -1)[:, 0]
            embedded.append(own.double().numpy())
            seen += [each for each, _ in some]
    if not seen:
        return Seen([], np.zeros((len(_LOOKS), 0)), np.zeros((0, 1)))
    return Seen(seen, np.concatenate(p_male, 1), np.concatenate(embedded))


def _read(
    model: Model, settings: Settings, asked: Sequence[Candidate]
) -> Iterator[tuple[Candidate, Pixels]]:
    """Each photograph as the service sees it, with its box in the pixels of that."""
    wanted = layout([model.details], "face")
    root = os.fsencode(settings.root.resolve())
    console = Console(stderr=True)
    for each in track(asked, "looking", console=console, disable=not console.is_terminal):
        try:
            content = Path(os.fsdecode(escaping.absolute_path(each.path, root))).read_bytes()
            _, photo = decode(
                content, Limits(settings.max_pixels), partial(view, wanted=wanted), wanted.least
            )
        except (OSError, Refused):
            continue  # taken away or changed since: `gdwatch db check` tells of it
        scale = max(photo.shape[:2]) / max(each.size)
        box = each.box
        scaled = Box(box.x * scale, box.y * scale, box.width * scale, box.height * scale)
        yield replace(each, box=scaled), photo


def _squares(photo: Pixels, box: Box, margin: float, side: int) -> Pixels:
    """The looks at a face: uint8 (V, side, side, 3), RGB."""
    longer = max(box.width, box.height)
    return np.stack([
        crop.face(photo, replace(box, x=box.x + shift * longer), margin * factor, side)
        for factor, shift in _LOOKS
    ])  # fmt: skip
