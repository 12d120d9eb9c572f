"""What the last layer of a model sees of prepared faces, and what the model adds after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from gdwatch.inference.calibration import Calibrated
from gdwatch.inference.model import Model
from gdwatch.inference.sharpness import sharpness
from gdwatch.networks.pooled import PooledClassifier
from gdwatch.networks.two_inputs import TwoInputClassifier
from train.atomic_files import publish
from train.data.crops import FACE
from train.data.prepared_set import Indices, Prepared
from train.data.tensors import read_pictures, shrink
from train.fitting.judge import view_of
from train.metrics import Floats
from train.tuning.head import Examples

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """The faces of a prepared folder. rows: (N,), those on which a face was found."""

    rows: Indices
    examples: Examples


def face_network(model: Model) -> PooledClassifier | None:
    """The network of faces whose last layer can be fitted; None: the model has none."""
    classifier = model.classifier
    if isinstance(classifier, TwoInputClassifier):
        classifier = classifier.face  # type: ignore[assignment]
    is_one = isinstance(classifier, PooledClassifier) and model.locator is not None
    return classifier if is_one else None  # type: ignore[return-value]


def old_weights(network: PooledClassifier) -> Floats:
    """Weights and bias of the logit of `male`, (D,)."""
    head = network.head
    both = torch.cat((head.weight[0], head.bias[:1]))
    return both.detach().double().numpy()


def seen(model: Model, prepared: Prepared, file: Path, title: str) -> Seen:
    """Embed the faces of a prepared folder, as they are and mirrored, or read what `file` has kept.

    Raises GdwatchError.
    """
    faces = prepared.in_view(view_of(model.details))
    basis = f"{faces.digest} {model.sha256}"
    kept = _read(file, basis)
    if kept is None:
        kept = _embed(model, faces, title)
        arrays = {"rows": kept.rows, "seen": kept.examples.seen.astype(np.float16),
                  "factor": kept.examples.factor, "offset": kept.examples.offset}  # fmt: skip
        with publish(file) as aside, aside.open("wb") as stream:
            np.savez(stream, basis=np.array(basis), **arrays)  # type: ignore[arg-type]
    return kept


def _read(file: Path, basis: str) -> Seen | None:
    try:
        with np.load(file) as kept:
            if str(kept["basis"]) != basis:
                return None
            numbers = (kept[name].astype(np.float64) for name in ("seen", "factor", "offset"))
            return Seen(kept["rows"], Examples(*numbers))
    except (OSError, ValueError, KeyError, EOFError):
        return None  # missing or damaged: embedded anew


@torch.inference_mode()
def _embed(model: Model, faces: Prepared, title: str) -> Seen:
    rows = np.array(
        [row for row in range(len(faces.rows)) if faces.crop(row).kind == FACE], dtype=np.int64
    )
    console = Console(stderr=True)
    starts = range(0, len(rows), _BATCH)
    parts = [
        _embed_some(model, faces, rows[start : start + _BATCH])
        for start in track(starts, title, console=console, disable=not console.is_terminal)
    ]
    if not parts:
        return Seen(rows, Examples(np.zeros((0, 2, 1)), np.zeros(0), np.zeros(0)))
    whole = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Seen(rows, Examples(*whole))


def _embed_some(model: Model, faces: Prepared, rows: Indices) -> Sequence[Floats]:
    details = model.details
    squares = shrink(read_pictures(faces, rows), details.classifier.input)
    sizes = torch.tensor([faces.crop(row).size for row in rows.tolist()])
    views = [model.classifier.embed(view).float() for view in (squares, squares.flip(3))]
    embedded = torch.stack(views, 1)
    embedded = torch.cat((embedded, torch.ones_like(embedded[:, :, :1])), 2)
    slope, constant = _after_the_head(model, faces, rows, sizes)
    calibrated = Calibrated(details.temperature, details.calibration)
    factor = calibrated.factor(sizes, sharpness(squares))
    return [each.double().numpy() for each in (embedded.half(), factor * slope, factor * constant)]


def _after_the_head(
    model: Model, faces: Prepared, rows: Indices, sizes: Tensor
) -> tuple[Tensor, Tensor]:
    """Slope and constant of the model's logit as a function of the face's; float (B,) each."""
    network = model.classifier
    if not isinstance(network, TwoInputClassifier):
        return torch.ones(len(rows)), torch.zeros(len(rows))
    around = torch.zeros(len(rows), 2)
    looks = network.looks_around(sizes)
    if bool(looks.any()):
        pictures = faces.in_view("surroundings").pixels(rows[looks.numpy()])
        around[looks] = network.around(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    zero, one = torch.zeros(len(rows), 2), torch.ones(len(rows), 2)
    constant = network.fused(zero, around, sizes)[:, 0]
    return network.fused(one, around, sizes)[:, 0] - constant, constant
