"""A prepared folder with a trouble of every kind, and what the audit finds there."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train.build import photograph
from train.audit.audit import Finding, audit
from train.data import prepared_set
from train.data.prepare import prepare
from train.data.prepared_set import Prepared

BARRED = {"female": False, "male": True}


def save(data: Path, label: str, name: str, image: Image.Image) -> str:
    path = data / label / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return f"{label}/{name}"


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Females, and males behind bars, 60 of each, with a trouble of every kind among them."""
    data = tmp_path_factory.mktemp("data")
    for label, barred in BARRED.items():
        for number in range(60):
            save(data, label, f"{number:02}.png", photograph(f"{label}{number}", barred=barred))
    save(data, "male", "swapped.png", photograph("swapped", barred=BARRED["female"]))
    twin = photograph("male7", barred=BARRED["male"])
    cut = twin.crop((5, 0, twin.width, twin.height - 5)).resize((128, 128))
    save(data, "male", "copy.jpg", cut)
    save(data, "female", "same.png", photograph("female3", barred=BARRED["female"]))
    dice = np.random.default_rng(0)
    noise = dice.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    save(data, "female", "noise.png", Image.fromarray(noise))
    save(data, "female", "flat.png", Image.new("RGB", (100, 100), (90, 90, 91)))
    save(data, "male", "tiny.png", photograph("tiny").resize((16, 20)))
    folder = tmp_path_factory.mktemp("prepared")
    prepare([data], folder)
    audit(prepared_set.load(folder), min_age=10)
    return folder


@pytest.fixture
def troubled(audited: Path, tmp_path: Path) -> Prepared:
    """A copy of the prepared folder, with its audit."""
    shutil.copytree(audited, tmp_path / "prepared")
    return prepared_set.load(tmp_path / "prepared")


@pytest.fixture
def findings(troubled: Prepared) -> list[Finding]:
    with (troubled.folder / "audit.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "trouble", "score", "evidence", "related"]
    # What a CSV gives is text, of which the score was made a number.
    return [Finding(**row | {"score": float(row["score"])}) for row in rows]  # type: ignore[arg-type]
