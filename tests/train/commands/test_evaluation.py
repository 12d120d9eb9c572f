from collections.abc import Callable
from pathlib import Path

import torch

from tests.train.build import Told, trained
from tests.train.old_program import old_weights
from train.data.prepared_set import Prepared
from train.export.export import export
from train.fitting.recipe import Recipe


def test_a_model_is_not_compared_with_itself(
    prepared: Prepared, recipe: Recipe, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    file = export(run, tmp_path / "m.safetensors", "m", "1", 0.99).file
    told = gdtrain("compare", file, file, prepared.folder)
    assert told == Told(2, "", "gdtrain: both are the same model; name two\n")


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
