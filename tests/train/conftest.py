"""Real tiny pictures and runs for the trainer's tests."""

import io
import json
import pickle
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from train.__main__ import main
from train.data import prepared_set
from train.data.prepare import prepare
from train.data.prepared_set import Prepared
from train.fitting.checkpoint import Epoch
from train.fitting.epoch import Step
from train.fitting.recipe import Recipe

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


torch.set_num_threads(1)  # such networks only wait for a second one


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


@pytest.fixture(autouse=True)
def numbers_next_to_nothing() -> None:
    """Sessions of onnxruntime let the thread that opened them take them for nothing, for ever."""
    torch.set_flush_denormal(False)


@pytest.fixture
def class_folders(tmp_path: Path) -> Callable[[int], Path]:
    """Make DATA/female and DATA/male with so many pictures each."""

    def make(count: int) -> Path:
        for label in ("female", "male"):
            folder = tmp_path / "faces" / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number:03}.bmp").write_bytes(picture(label, number))
        return tmp_path / "faces"

    return make


@pytest.fixture
def prepared(class_folders: Callable[[int], Path], tmp_path: Path) -> Prepared:
    """Prepare 60 separable pictures of each class."""
    prepare([class_folders(60)], tmp_path / "prepared")
    return prepared_set.load(tmp_path / "prepared")


@pytest.fixture
def recipe() -> Recipe:
    """Four epochs of a network of some hundred weights."""
    return Recipe.model_validate(TINY)


class Untold:
    """Nobody is shown how a training goes."""

    def step(self, step: Step) -> None:
        pass

    def epoch(self, epoch: Epoch) -> None:
        pass


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


@dataclass(frozen=True)
class Told:
    status: int
    out: str
    err: str


@pytest.fixture
def gdtrain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Told]:
    """Run the command in this process."""

    def run(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["gdtrain", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Told(int(ended.value.code or 0), out, err)

    return run
