from collections.abc import Callable
from pathlib import Path

from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from tests import build
from train.data.sources import entries
from train.tuning.drift import Drift, drift


def brightness(file: Path, slope: float) -> Model:
    return model.load(model_file.read(build.model_file(file, slope=slope)))


def test_answers_that_another_model_would_change_are_counted(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    listed = entries([class_folders(4)])
    old, opposite, unsure = (
        brightness(tmp_path / f"{slope}.safetensors", slope) for slope in (30.0, -30.0, 0.1)
    )
    assert drift(old, old, listed) == Drift(8, 8, 0, 0)
    assert drift(old, opposite, listed) == Drift(8, 8, 8, 8)
    assert drift(old, unsure, listed) == Drift(8, 8, 8, 0)


def test_a_photograph_that_cannot_be_read_is_left_out(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    data = class_folders(4)
    (data / "male" / "000.bmp").write_bytes(b"no picture")
    old = brightness(tmp_path / "m.safetensors", 30.0)
    assert drift(old, old, entries([data])) == Drift(8, 7, 0, 0)
