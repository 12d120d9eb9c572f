"""The command, on pictures whose faces are known: steps that are done are not done again."""

import csv
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from gdwatch.inference import model, model_file
from gdwatch.values import Box
from tests import build
from tests.train.build import Killed, Told, blind_look, photograph
from train.data import prepared_set
from train.data.sources import entries
from train.detection import crop_faces
from train.detection.boxes import Face
from train.detection.places import Known
from train.tuning.tune import tune

_POINTS = (50.0, 60.0, 110.0, 60.0, 80.0, 90.0, 60.0, 120.0, 100.0, 120.0)
WHOLE = Face(Box(25, 25, 110, 110), 0.9, _POINTS)


def photographs(folder: Path, count: int) -> Path:
    """Photographs of nobody, men behind bars: what the shipped models have never learnt."""
    for label in ("female", "male"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            shown = photograph(f"{label}{number}", barred=label == "male")
            shown.save(folder / label / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, and a run of them that was killed twice: before the faces were cut out, and
    before anything was learnt. In between they were cut out, each a face that is known.
    """
    folder = tmp_path_factory.mktemp("once")
    data, out = photographs(folder / "photos", 30), folder / "run"
    with pytest.raises(Killed):
        tune(data, out, "fast", clean=False, tell=killed_at("cutting faces out"))
    listed = entries([data])
    known = Known(faces={entry.path: [WHOLE] for entry in listed})
    crop_faces.cut(listed, out / "prepared", [blind_look()], known)
    with pytest.raises(Killed):
        tune(data, out, "fast", clean=False, tell=killed_at("learning"))
    return folder


def killed_at(last: str) -> Callable[[str], None]:
    def tell(step: str) -> None:
        if step == last:
            raise Killed

    return tell


@pytest.fixture
def data(once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once / "photos", tmp_path / "photos"))


@pytest.fixture
def begun(once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once / "run", tmp_path / "run"))


def test_a_killed_run_goes_on_and_the_new_model_is_better_at_what_it_has_learnt(
    data: Path, begun: Path, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("tune", data, "--out", begun)
    assert told.status == 0, told.err
    assert told.err == "gdtrain: learning\n"
    assert "Better than fast by " in told.out
    assert f"model {begun}/tuned.safetensors (gdwatch run --set model=" in told.out
    result = json.loads((begun / "result.json").read_text())
    assert result["own"]["new"] > 0.75 > result["own"]["old"]
    assert result["rehearsal"]["gain"] >= -0.002
    old, new = (
        model.load(model_file.read(file))
        for file in (model_file.find("fast"), begun / "tuned.safetensors")
    )
    assert new.details.name == "fast-tuned"
    assert new.details.trained_on["tuned"]["pictures"] == 60
    changed = {
        name
        for name, weights in old.classifier.state_dict().items()
        if not weights.equal(new.classifier.state_dict()[name])
    }
    assert changed == {"head.weight", "head.bias"}
    assert old.classifier.head.weight[1].equal(new.classifier.head.weight[1])  # of nobody
    page = (begun / "tune.html").read_text()
    assert "Better than fast by" in page
    assert "labelled male" in page
    assert gdtrain("tune", data, "--out", begun).out == told.out


def test_contradicting_labels_are_named_and_not_learnt(
    tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    data = photographs(tmp_path / "photos", 22)
    for number in range(4):
        content = (data / "female" / f"{number:03}.png").read_bytes()
        (data / "male" / f"copy-{number}.png").write_bytes(content)
    told = gdtrain("tune", data, "--out", tmp_path / "run")
    assert told.status == 1
    line = told.err.splitlines()[-1]
    assert "different faces of female and " in line
    assert "of 48 pictures (" in line
    assert "8 with both labels)" in line


def test_a_run_of_other_labels_is_left_alone(data: Path, begun: Path) -> None:
    kept = {file: file.stat().st_mtime_ns for file in begun.rglob("*")}
    (data / "male" / "000.png").unlink()
    with pytest.raises(GdwatchError, match="made of other labels or of another model; name"):
        tune(data, begun, "fast", clean=False, tell=lambda _: None)
    assert {file: file.stat().st_mtime_ns for file in begun.rglob("*")} == kept


def test_a_folder_of_something_else_is_left_alone(
    data: Path, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    told = gdtrain("tune", data, "--out", tmp_path / "run")
    assert told == Told(
        2,
        "",
        f"gdtrain: {tmp_path / 'run'}: there is something else in it; name a new folder with "
        "--out\n",
    )


@pytest.mark.parametrize("start", ["whole", "no-such", "mine.safetensors"])
def test_a_model_of_another_kind_is_one_line_and_nothing_is_written(
    start: str, data: Path, tmp_path: Path, gdtrain: Callable[..., Told],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    build.model_file(tmp_path / "mine.safetensors")
    told = gdtrain("tune", data, "--out", tmp_path / "run", "--start", start)
    assert told.status in (2, 78)
    assert told.err.count("\n") == 1
    assert told.err.startswith(f"gdtrain: model {start}: ")
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_is_one_line_and_the_run_goes_on_later(
    data: Path, tmp_path: Path
) -> None:
    """A limit on the size of files ends a write as a full disk does."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))

    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "train", "tune", str(data), "--out", str(out)],
        preexec_fn=limited, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "could not be written (File too large); make room and give the same command" in last
    assert [file.name for file in (out / "prepared").iterdir()] == []


def test_pictures_of_the_split_test_are_not_learnt_from(
    data: Path, begun: Path, gdtrain: Callable[..., Told]
) -> None:
    listed = entries([data])
    with (data / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "split"])
        for number, entry in enumerate(listed):
            writer.writerow([entry.path, entry.label, "test" if number % 4 == 0 else ""])
    told = gdtrain("tune", data, "--out", begun, "--json")
    assert json.loads(told.out)["own"]["pictures"] == 45
    assert len(prepared_set.load(begun / "prepared").rows) == 60
