"""What the trainer's tests share: tiny prepared folders, a recipe, and the command."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.train.build import FACE_BOX, TINY, Told, blind_look, picture, write_rows
from train.cli import main
from train.data import prepared_set
from train.data.prepare import prepare
from train.data.prepared_set import Prepared
from train.data.sources import entries
from train.detection import crop_faces
from train.detection.boxes import Face
from train.detection.places import Known
from train.fitting.recipe import Recipe

torch.set_num_threads(1)  # such networks only wait for a second one


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


@pytest.fixture
def cut(prepared: Prepared) -> Prepared:
    """Prepared pictures with squares of their faces; an untrained locator finds none."""
    data = next(prepared.folder.parent.glob("*/female")).parent
    assert crop_faces.cut(entries([data]), prepared.folder, [blind_look()]) == 0
    return prepared_set.load(prepared.folder, "face")


@pytest.fixture
def with_nobody(class_folders: object, prepared: Prepared) -> Prepared:
    """The prepared pictures once more, with striped ones of nobody among the photographs."""
    data = next(prepared.folder.parent.glob("*/female")).parent
    (data / "none").mkdir()
    bars = (np.arange(40) // 4 % 2 * 255).astype(np.uint8)
    for number in range(6):
        striped = np.broadcast_to(np.roll(bars, number)[None, :, None], (40, 40, 3))
        Image.fromarray(np.ascontiguousarray(striped)).save(data / "none" / f"{number}.png")
    listed = ["path,label", *(f"{row.path},{row.label}" for row in prepared.rows)]
    listed += [f"none/{number}.png,none" for number in range(6)]
    (data / "manifest.csv").write_text("\n".join(listed))
    crop_faces.cut(entries([data]), prepared.folder, [blind_look()])
    return prepared_set.load(prepared.folder, "face")


@pytest.fixture
def three_views(with_nobody: Prepared) -> Path:
    """Pictures with a known face each and in equal splits, and some of nobody."""
    data = next(with_nobody.folder.parent.glob("*/female")).parent
    rows = [
        replace(row, split=("train", "val", "test")[number % 3])
        for number, row in enumerate(with_nobody.rows)
    ]
    write_rows(with_nobody, rows)
    faces = {row.path: [Face(FACE_BOX, 0.9, (1.0,) * 10)] for row in rows[1:]}
    views = ("face", "upright", "surroundings")
    crop_faces.cut(entries([data]), with_nobody.folder, [blind_look()], Known(faces=faces), views)
    return with_nobody.folder


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stand-in for each of the published weights; needs the extra `teachers`."""
    from tests.train import standins

    folder = tmp_path_factory.mktemp("standins") / "weights"
    standins.write_all(folder)
    return folder


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
