import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.train.build import Told, trained, write_recipe
from tests.train.old_program import old_weights
from train.atomic_files import publish_rows
from train.data.prepared_set import CLEAN, COLUMNS, Prepared
from train.export.export import export
from train.fitting.recipe import Recipe


def test_a_model_is_not_compared_with_itself(
    prepared: Prepared, recipe: Recipe, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    file = export(run, tmp_path / "m.safetensors", "m", "1", 0.99).file
    told = gdtrain("compare", file, file, prepared.folder)
    assert told == Told(2, "", "gdtrain: both are the same model; name two\n")


def test_what_was_fitted_clean_is_judged_clean_and_the_page_says_so(
    prepared: Prepared, recipe: Recipe, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    kept = [row for number, row in enumerate(prepared.rows) if number % 4]
    publish_rows(prepared.folder / CLEAN, COLUMNS, kept)
    write_recipe(recipe, tmp_path / "tiny.toml")
    run, file, page = tmp_path / "run", tmp_path / "m.safetensors", tmp_path / "r.html"
    words = ["--recipe", tmp_path / "tiny.toml", "--out", run]
    assert gdtrain("fit", prepared.folder, "--clean", *words).status == 0
    assert gdtrain("export", run, "-o", file).status == 0
    said = f"split val of {CLEAN}, whose training part it learnt from\n"
    assert gdtrain("evaluate", file, prepared.folder, "--split", "val").out.startswith(said)
    told = gdtrain("evaluate", file, prepared.folder, "--split", "train", "--json")
    assert json.loads(told.out)["overall"]["pictures"] == sum(row.split == "train" for row in kept)
    gdtrain("report", file, prepared.folder, "-o", page)
    assert f"split test of {CLEAN}, whose training part it learnt from" in page.read_text()
    gdtrain("report", file, prepared.folder, "--no-clean", "-o", page)
    assert "split test of manifest.csv, it learnt from another set" in page.read_text()


@pytest.mark.parametrize("name", ["fast", "accurate"])
def test_a_shipped_model_is_named_and_what_it_lacks_as_a_command(
    prepared: Prepared, gdtrain: Callable[..., Told], name: str
) -> None:
    told = gdtrain("evaluate", name, prepared.folder)
    assert told.status == 1
    command = f"gdtrain crop PHOTOGRAPHS --prepared {prepared.folder} --locator fast"
    more = " --upright --surroundings" if name == "accurate" else ""
    assert told.err.endswith(f"make it with `{command}{more}`\n")


def test_shipped_models_are_compared_by_name(
    three_views: Path, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("compare", "fast", "whole", three_views, "--split", "val")
    assert told.out.startswith("split val of manifest.csv\n")
    assert "only whole" in told.out


def test_a_split_that_there_is_not_is_named(
    prepared: Prepared, recipe: Recipe, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    torch.save(old_weights(), tmp_path / "model.pt")
    gdtrain("import-seed", tmp_path / "model.pt", "-o", tmp_path / "m.safetensors")
    told = gdtrain("evaluate", tmp_path / "m.safetensors", prepared.folder, "--split", "half")
    line = "gdtrain: split half: there is none; name one of train, val, test\n"
    assert told == Told(2, "", line)


def test_a_page_that_cannot_be_written_is_one_line(
    prepared: Prepared, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    torch.save(old_weights(), tmp_path / "model.pt")
    gdtrain("import-seed", tmp_path / "model.pt", "-o", tmp_path / "m.safetensors")
    page = tmp_path / "gone/report.html"
    told = gdtrain("report", tmp_path / "m.safetensors", prepared.folder, "-o", page)
    assert told.status == 1
    assert told.err.startswith(f"gdtrain: {page}: could not be written (No such file or directory)")
    assert told.err.count("\n") == 1
