from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gdwatch.errors import GdwatchError
from gdwatch.inference import model, model_file
from tests.train.build import trained, write_rows
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.evaluation.evaluate import evaluate
from train.export.export import export
from train.fitting import checkpoint
from train.fitting.predict import logits
from train.fitting.recipe import Recipe
from train.metrics import fit_temperature


def test_an_exported_file_is_one_that_the_service_loads(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(
        trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99
    )
    details = model.load(model_file.read(done.file)).details
    assert (details.name, details.version, details.classifier.input) == ("m", "1", 32)
    assert details.temperature > 0
    assert 0.5 <= details.min_confidence <= 1
    assert details.recipe["seed"] == 3
    assert details.trained_on["pictures"]["faces"]["train"] > 80
    assert details.measures["overall"]["pictures"] == done.evaluation.overall.pictures


def test_a_file_says_the_same_as_the_network_that_was_trained(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(
        trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99
    )
    loaded = model.load(model_file.read(done.file))
    found = evaluate(loaded, prepared, "test", 10)
    assert found.overall == done.evaluation.overall


def test_an_empty_run_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(GdwatchError, match=r"no checkpoint\.pt in it; train with `gdtrain fit`"):
        export(tmp_path, tmp_path / "m.safetensors", "m", "1", 0.99)


def test_a_folded_file_is_smaller_and_says_the_same(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    done = export(run, tmp_path / "m.safetensors", "m", "1", 0.99)
    folded = model.load(model_file.read(done.file)).classifier
    assert not any("norm" in name for name in folded.state_dict())
    whole = checkpoint.load(run)
    whole.average.load_state_dict(whole.best)
    photos = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(folded(photos), whole.average(photos), atol=1e-4)


def test_a_source_kept_out_neither_calibrates_nor_counts(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    rows = [
        replace(row, source="new" if number % 3 == 0 else "old")
        for number, row in enumerate(prepared.rows)
    ]
    write_rows(prepared, rows)
    folder = prepared_set.load(prepared.folder)
    kept_out = recipe.model_copy(update={"without": ["new"]})
    done = export(trained(folder, kept_out, tmp_path / "run"), tmp_path / "m.st", "m", "1", 0.99)
    details = model_file.read(done.file).details
    assert details.trained_on["pictures"]["new"]["train"] == 0
    assert details.trained_on["pictures"]["new"]["val"] == 0
    assert details.trained_on["pictures"]["new"]["test"] > 0
    network = model.load(model_file.read(done.file)).classifier
    held_back = np.array([
        row for row in folder.select("val", 10) if folder.rows[row].source == "old"
    ])  # fmt: skip
    judged = logits(network, folder, held_back, recipe.input)
    assert done.temperature == pytest.approx(
        fit_temperature(judged, folder.is_male()[held_back]), rel=1e-3
    )
