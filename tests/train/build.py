"""Real tiny pictures, recipes and runs for the trainer's tests."""

import csv
import io
import json
import pickle
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from scipy import ndimage

from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Network
from gdwatch.networks.locator import Locator
from gdwatch.networks.two_inputs import TwoInputClassifier
from gdwatch.values import Box
from tests import build
from train.data import prepared_set
from train.data.prepared_set import Prepared, Row
from train.data.sources import entries
from train.detection import locator_recipe
from train.detection.boxes import Face
from train.detection.false_faces import Look
from train.detection.locator_recipe import LocatorRecipe
from train.fitting.checkpoint import Epoch, Run
from train.fitting.epoch import Step
from train.fitting.fit import fit
from train.fitting.recipe import Recipe

# Each example is written durably, and how long that takes is not asked.
ON_A_DISK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TINY = {
    "seed": 3,
    "min_age": 10,
    "batch": 16,
    "label_smoothing": 0.05,
    "optimizer": {
        "name": "adamw",
        "lr": 0.01,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup": 0.1,
        "ema": 0.5,
    },
    "network": {"arch": "residual", "stem": 4, "widths": [8], "blocks": [1]},
    "phases": [{"size": 16, "epochs": 2}, {"size": 32, "epochs": 2}],
    "repeat": {},
    "augmentation": {
        "degrees": 10.0,
        "zoom": 1.1,
        "shift": 0.05,
        "brightness": 0.05,
        "contrast": 0.1,
        "grey": 0.1,
    },
}


TINY_SEED = TINY | {
    "loss": "nll",
    "label_smoothing": 0.0,
    "optimizer": {"name": "adam", "lr": 0.003, "schedule": "constant"},
    "network": {"arch": "seed", "stages": [[4], [8]], "grey": False, "dropout": 0.0},
    "phases": [{"size": 32, "epochs": 3}],
}


TINY_LOCATOR = LocatorRecipe(
    seed=1, input=64, threshold=0.45, epochs=2, scenes=8, batch=4, lr=0.01, weight_decay=0,
    warmup=0.1, ema=0.9, close=5,
    network=locator_recipe.Shape(stem=4, widths=[4, 4, 4], blocks=[0, 0, 0], head=4),
)  # fmt: skip


FACE_BOX = Box(4, 4, 12, 14)  # of the face on each of the pictures of `three_views`


def two_input_model() -> Model:
    """A model that sees a face upright and its surroundings; its weights are random."""
    torch.manual_seed(1)
    face = {"widths": [8, 16], "blocks": [1, 1], "nobody": True}
    around = {"stem": 8, "stages": [(1, 8, 1, 1)], "head": 8, "folded": True}
    arguments = {"face": face, "surroundings": around}
    classifier = TwoInputClassifier(**arguments, mean=(0.5,) * 3, std=(0.25,) * 3).eval()
    with torch.no_grad():
        classifier.male[:] = torch.tensor([1.0, 0.0, 6.0, 0.0, 6.0])
        classifier.nobody[:] = torch.tensor([0.0, 0.0, -9.0])
    details = build.located()
    changed = {
        "format": 2,
        "min_confidence": 0.5,
        "classifier": Network(arch="two_inputs", arguments=arguments, input=32),
        "preprocessing": details.preprocessing.model_copy(update={"upright": True}),
    }
    return Model(None, classifier, details.model_copy(update=changed), "")


def blind_look() -> Look:
    """A locator that knows nothing, and says so."""
    return Look(Locator(**TINY_LOCATOR.network.model_dump(), threshold=0.999), 64)


def saved(content: object) -> bytes:
    """Return what torch writes of something."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


# What may stand in the place of a checkpoint.
DAMAGED = {
    "no checkpoint": b"not a checkpoint",
    "empty": b"",
    "cut short": saved({"recipe": "{}"})[:-100],
    "a pickle cut short": pickle.dumps({"recipe": "{}"})[:-4],
    "a tensor": saved(torch.zeros(3)),
    "of something else": saved({"recipe": "{}"}),
    "a number in the recipe's place": saved({"recipe": 3}),
}


def picture(label: str, number: int) -> bytes:
    """Return a BMP of noise, no two alike: female dark, male bright."""
    dice = random.Random(f"{label}{number}")
    low = 20 if label == "female" else 150
    noise = bytes(low + dice.randrange(80) for _ in range(20 * 24 * 3))
    stream = io.BytesIO()
    Image.frombytes("RGB", (20, 24), noise).save(stream, "BMP")
    return stream.getvalue()


def photograph(
    seed: str, *, side: int = 160, light: int = 128, barred: bool = False
) -> Image.Image:
    """Make a picture like no other: shades and detail, perhaps seen through bars."""
    dice = np.random.default_rng([*seed.encode()])
    coarse = dice.normal(0, 1, (3, 6, 6))
    fine = dice.normal(0, 0.3, (3, 16, 16))
    zoomed = [
        ndimage.zoom(layer, (1, side / layer.shape[1], side / layer.shape[1]), order=3)
        for layer in (coarse, fine)
    ]
    values = light + 45 * (zoomed[0] + zoomed[1])
    if barred:
        values[:, :, (np.arange(side) + dice.integers(32)) % 32 < 12] = 20
    return Image.fromarray(values.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def faces_of(folder: Path) -> dict[str, list[Face]]:
    return {
        entry.path: [Face(Box(10, 10, 60, 70), 0.9, (1.0,) * 10)] for entry in entries([folder])
    }


@dataclass(frozen=True)
class Told:
    status: int
    out: str
    err: str


class Untold:
    """Nobody is shown how a training goes."""

    def step(self, step: Step) -> None:
        pass

    def epoch(self, epoch: Epoch) -> None:
        pass


class Killed(Exception):  # noqa: N818 - not an error
    """Stands for whatever ends a process."""


class KilledAt(Untold):
    """Ends a training at a step of an epoch."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def step(self, step: Step) -> None:
        if (step.epoch, step.step) == self.at:
            raise Killed


def write_recipe(recipe: Recipe, file: Path) -> None:
    """Write TOML: its values are JSON's, but for the tables."""
    tables = recipe.model_dump(exclude_none=True)
    phases = tables.pop("phases")
    lines = [f"{k} = {json.dumps(v)}" for k, v in tables.items() if not isinstance(v, dict)]
    for name, table in [(k, v) for k, v in tables.items() if isinstance(v, dict)]:
        lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    for phase in phases:
        lines += ["[[phases]]", *(f"{k} = {v}" for k, v in phase.items())]
    file.write_text("\n".join(lines))


def write_rows(prepared: Prepared, rows: list[Row]) -> None:
    with (prepared.folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, prepared_set.COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def trained(prepared: Prepared, recipe: Recipe, run: Path) -> Path:
    fit(prepared, recipe, run, Untold())
    return run


def fitted(prepared: Prepared, recipe: Recipe, out: Path, kill_at: tuple[int, int] = (0, 0)) -> Run:
    return fit(prepared, recipe, out, KilledAt(*kill_at))
