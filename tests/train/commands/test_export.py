from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.train.build import Told, trained, write_rows
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.fitting.recipe import Recipe


def test_an_accuracy_out_of_reach_is_said(
    prepared: Prepared, recipe: Recipe, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    # All pictures of `val` are one, half of them under each label.
    held_back = prepared.select("val", 0).tolist()
    np.load(prepared.folder / "pictures.npy", mmap_mode="r+")[held_back] = 128
    rows = [*prepared.rows]
    for number, row in enumerate(held_back):
        rows[row] = replace(rows[row], label="male" if number % 2 else "female")
    write_rows(prepared, rows)
    run = trained(prepared_set.load(prepared.folder), recipe, tmp_path / "run")
    told = gdtrain("export", run, "-o", tmp_path / "m.safetensors")
    assert told.status == 0
    assert told.err.startswith("gdtrain: no min_confidence accepts with accuracy 0.99 on val; ")


def test_a_shipped_model_is_not_calibrated_into_a_file_of_no_name(
    prepared: Prepared, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("calibrate", "fast", tmp_path, "--prepared", prepared.folder)
    line = "gdtrain: fast: no name for a model file; name the one to write with -o\n"
    assert told == Told(2, "", line)
