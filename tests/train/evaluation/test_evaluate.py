from dataclasses import replace
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from gdwatch.inference import model, model_file
from tests.train.build import trained
from train.data.prepared_set import Prepared
from train.evaluation.evaluate import evaluate
from train.export.export import export
from train.fitting.recipe import Recipe


def test_an_empty_split_cannot_be_evaluated(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(
        trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99
    )
    loaded = model.load(model_file.read(done.file))
    nothing = replace(prepared, rows=[])
    with pytest.raises(GdwatchError, match="split test is empty"):
        evaluate(loaded, nothing, "test", 10)
