"""Real tiny pictures and runs for the trainer's tests."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from train import pictures
from train.pictures import Prepared
from train.prepare import prepare
from train.recipe import Recipe

TINY = {
    "seed": 3,
    "min_age": 10,
    "batch": 16,
    "lr": 0.01,
    "weight_decay": 0.01,
    "warmup_steps": 2,
    "ema": 0.5,
    "label_smoothing": 0.05,
    "network": {"stem": 4, "widths": [8], "blocks": [1]},
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


torch.set_num_threads(1)  # such networks only wait for a second one


def picture(label: str, number: int) -> bytes:
    """Return a BMP of noise, no two alike: female dark, male bright."""
    dice = random.Random(f"{label}{number}")
    low = 20 if label == "female" else 150
    noise = bytes(low + dice.randrange(80) for _ in range(20 * 24 * 3))
    stream = io.BytesIO()
    Image.frombytes("RGB", (20, 24), noise).save(stream, "BMP")
    return stream.getvalue()


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
    return pictures.load(tmp_path / "prepared")


@pytest.fixture
def recipe() -> Recipe:
    """Four epochs of a network of some hundred weights."""
    return Recipe.model_validate(TINY)
