"""The one command that trains both models, with stand-ins for the published weights."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.core import TyperGroup
from typer.main import get_command

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from gdwatch.inference import model, model_file
from tests.train import standins
from tests.train.build import Told, photograph, write_recipe
from train.chain import Plan, steps
from train.cli import app
from train.data import crops
from train.data.crops import FACE, OTHER
from train.fitting.recipe import Pooled, Recipe, Surroundings
from train.published.weights import CENTERFACE, DLIB, MOBILENET, TEACHERS

LOCATOR = """
seed = 1
input = 64
threshold = 0.001       # so that it finds something, knowing nothing
epochs = 1
scenes = 8
batch = 4
lr = 0.01
weight_decay = 0.0
warmup = 0.1
ema = 0.9
close = 5
[network]
stem = 4
widths = [4, 4, 4]
blocks = [0, 0, 0]
head = 4
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Grey photographs, men behind bars, each with a red spot: a face for the stand-in."""
    for label in ("female", "male"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(40):
            shown = photograph(f"{label}{number}", barred=label == "male")
            shown = shown.convert("L").convert("RGB")
            shown.paste((255, 0, 0), (80, 80, 88, 88))
            if number == 0:
                shown.paste((255, 0, 0), (20, 130, 28, 138))  # somebody beside
            shown.save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def recipes(recipe: Recipe, tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name in ("locator", "closer"):
        (folder / f"{name}.toml").write_text(LOCATOR)
    phase = recipe.phases[0].model_copy(update={"size": 32, "epochs": 1})
    colours = {"mean": (0.4, 0.4, 0.4), "std": (1.0, 1.0, 1.0)}
    common = {"phases": [phase], "teacher": 0.6, "nobody": 0.5, **colours}
    face = Pooled(arch="pooled", widths=[32], blocks=[1], nobody=True)
    around = Surroundings(arch="surroundings", stem=32, stages=[(1, 16, 1, 1)], head=8)
    for name, view, shape in (
        ("accurate", "upright", face), ("surroundings", "surroundings", around),
        ("fast", "face", face),
    ):  # fmt: skip
        changed = {**common, "network": shape, "crop": view}
        write_recipe(recipe.model_copy(update=changed), folder / f"{name}.toml")
    return folder


def commands(told: Told) -> list[str]:
    """Which commands ran, by their first word; those that were done in brackets."""
    shown = []
    for line in told.err.splitlines():
        if line.startswith("gdtrain ") and not line.startswith("gdtrain:"):
            shown.append(line.split()[1])
        elif line.startswith("done: gdtrain "):
            shown.append(f"({line.split()[2]})")
    return shown


@pytest.mark.timeout(600)
def test_one_command_trains_both_models_and_goes_on_where_it_was_stopped(
    data: Path, recipes: Path, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    standins.write_all(tmp_path / "weights")
    out = tmp_path / "out"
    command = ("all", data, "--out", out, "--weights", tmp_path / "weights", "--recipes", recipes,
               "--anew", "--wild", "photos", "--version", "7")  # fmt: skip
    told = gdtrain(*command)
    assert told.status == 0, told.err
    assert commands(told) == [
        "prepare", "audit", "detect", "locate", "locate", "teach", "crop",
        "fit", "fit", "fuse", "calibrate", "fit", "export", "calibrate",
    ]  # fmt: skip
    for name in ("accurate", "fast"):
        loaded = model.load(model_file.read(out / f"{name}.safetensors"))
        assert (loaded.details.name, loaded.details.version) == (name, "7")
        assert loaded.locator is not None
        assert loaded.closer is not None
        assert loaded.classifier.tells_nobody
        assert loaded.details.measures["split"] == "test"
    accurate = model_file.read(out / "accurate.safetensors").details
    assert accurate.classifier.arch == "two_inputs"
    assert "min_confidence_bodies none (of " in told.out  # ten photographs are too few to choose by
    assert accurate.min_confidence_bodies is None
    assert accurate.measures["bodies"]["accepted"] == 0
    kept = {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")}
    with np.load(out / "prepared/embeddings/000000.npz") as part:
        assert len(part["embedded"]) >= 80
    assert "answers 80 " in told.out
    assert "source photos" in told.out
    lines = (out / "teacher-faces.csv").read_text().splitlines()
    assert lines[0] == "path,x,y,w,h,p_male"
    assert len({line.split(",")[0] for line in lines[1:]}) == 80
    assert {row.kind for row in crops.read(out / "prepared")} >= {FACE, OTHER}
    (out / "fast.safetensors").unlink()
    told = gdtrain(*command)
    assert told.status == 0, told.err
    assert commands(told) == [
        "(prepare)", "(audit)", "detect", "locate", "locate", "(teach)", "(crop)",
        "fit", "fit", "(fuse)", "(calibrate)", "fit", "(export)", "calibrate",
    ]  # fmt: skip
    del kept[out / "fast.safetensors"]
    assert all(file.stat().st_mtime_ns == before for file, before in kept.items())


def test_every_step_is_a_command_with_options_that_it_takes(tmp_path: Path) -> None:
    for each in (DLIB, MOBILENET, CENTERFACE, *TEACHERS):
        (tmp_path / each.file).touch()
    plan = Plan(
        data=[tmp_path], out=tmp_path / "out", version="7", weights=[tmp_path],
        recipes=tmp_path, drawn=tmp_path / "boxes.csv", wild=["oi", "sport"],
    )  # fmt: skip
    commands = get_command(app)
    assert isinstance(commands, TyperGroup)
    for step in steps(plan):
        name, *arguments = step.command
        commands.commands[name].make_context(name, arguments)  # raises if it takes them not


def test_weights_that_are_missing_are_named_before_anything_is_done(
    data: Path, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    (tmp_path / "weights").mkdir()
    told = gdtrain("all", data, "--out", tmp_path / "out", "--weights", tmp_path / "weights")
    assert told.status == 1
    assert "not on this machine" in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_source_that_there_is_not_is_named_before_anything_is_done(
    data: Path, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("all", data, "--out", tmp_path / "out", "--wild", "sprot")
    assert told == Told(2, "", f"gdtrain: {data}: no source sprot; there are photos\n")
    assert not (tmp_path / "out").exists()
