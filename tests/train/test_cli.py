import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gdwatch import __version__
from gdwatch.inference import model_file
from tests.train.build import Told, photograph, write_recipe
from tests.train.old_program import old_weights
from train.fitting.recipe import Recipe

COMMANDS = ("tune", "prepare", "audit", "detect", "locate", "crop", "teach", "fit", "export",
            "fuse", "calibrate", "evaluate", "compare", "report", "choose", "import-seed",
            "all")  # fmt: skip


def test_the_commands_work_one_after_the_other(
    class_folders: Callable[[int], Path],
    recipe: Recipe,
    tmp_path: Path,
    gdtrain: Callable[..., Told],
) -> None:
    prepared, run, file = tmp_path / "prepared", tmp_path / "run", tmp_path / "m.safetensors"
    told = gdtrain("prepare", class_folders(60), "--out", prepared)
    assert told.out.startswith("pictures 120\ntrain ")
    assert told.out.endswith("near-duplicates 0\nwithout a class 0\nunreadable 0\n")
    write_recipe(recipe, tmp_path / "tiny.toml")
    told = gdtrain("fit", prepared, "--recipe", tmp_path / "tiny.toml", "--out", run)
    assert told.out.startswith("best epoch ")
    assert told.err.startswith("epoch=1 size=16 train_loss=")
    told = gdtrain("export", run, "-o", file)
    assert told.out.startswith(f"{file} ")
    assert model_file.read(file).details.name == "m"
    told = gdtrain("export", run, "-o", tmp_path / "fast.safetensors")
    assert told.status == 2
    assert not (tmp_path / "fast.safetensors").exists()
    told = gdtrain("evaluate", file, prepared, "--json")
    assert json.loads(told.out)["overall"]["balanced_accuracy"] > 0.8
    assert "balanced" in gdtrain("evaluate", file, prepared).out
    seed = tmp_path / "seed.pt"
    torch.save(old_weights(), seed)
    told = gdtrain("import-seed", seed, "-o", tmp_path / "seed.safetensors")
    assert told.out.startswith(f"{tmp_path / 'seed.safetensors'} ")
    told = gdtrain("compare", file, tmp_path / "seed.safetensors", prepared)
    assert "only seed" in told.out
    told = gdtrain("report", file, prepared, "-o", tmp_path / "report.html")
    assert told.out == f"{tmp_path / 'report.html'}\n"


def test_an_error_is_one_line_with_a_hint(tmp_path: Path, gdtrain: Callable[..., Told]) -> None:
    told = gdtrain("export", tmp_path, "-o", tmp_path / "m.safetensors")
    line = f"gdtrain: {tmp_path}: no checkpoint.pt in it; train with `gdtrain fit`\n"
    assert told == Told(1, "", line)


def test_debug_shows_the_traceback(tmp_path: Path, gdtrain: Callable[..., Told]) -> None:
    told = gdtrain("export", tmp_path, "-o", tmp_path / "m.safetensors", "--debug")
    assert "Traceback" in told.err


def test_help_names_the_commands(gdtrain: Callable[..., Told]) -> None:
    shown = gdtrain("--help").out
    assert all(name in shown for name in COMMANDS)


def test_a_missing_package_is_one_line() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['gdtrain', 'export', 'r', '-o', 'f'];"
        "from train.__main__ import main; main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    line = "gdtrain: package torch is not installed; pip install 'gdwatch[train]'\n"
    assert (told.returncode, told.stderr) == (1, line)


def test_the_commands_of_the_readme_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gdtrain: Callable[..., Told]
) -> None:
    readme = (Path(__file__).parents[2] / "docs" / "train.md").read_text()
    section = readme[readme.index("## Train from nothing") :]
    lines = [
        line.split("  #")[0].split()[1:]
        for line in section[: section.index("```\n\n")].splitlines()
        if line.startswith("gdtrain ")
    ]
    assert [line[0] for line in lines] == [
        "prepare", "audit", "fit", "export", "evaluate", "report"
    ]  # fmt: skip
    for label in ("female", "male"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(60):
            picture = photograph(f"{label}{number}", barred=label == "male")
            picture.save(tmp_path / "photos" / label / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        told = gdtrain(*line)
        assert told.status == 0, told.err
    assert {"MODEL_CARD.md", "mine.safetensors", "report.html"} <= {
        file.name for file in tmp_path.iterdir()
    }


def test_the_trainer_says_its_version() -> None:
    words = [sys.executable, "-m", "train", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"gdtrain {__version__}\n"
