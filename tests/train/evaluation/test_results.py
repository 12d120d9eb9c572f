from pathlib import Path

from tests.train.build import trained
from train.data.prepared_set import Prepared
from train.evaluation.results import table
from train.export.export import export
from train.fitting.recipe import Recipe


def test_each_run_is_a_line_with_its_accuracy_and_its_price(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = trained(prepared, recipe, tmp_path / "tiny")
    export(run, tmp_path / "tiny.safetensors", "tiny", "1", 0.99)
    head, _, line = table(prepared.folder, [run]).splitlines()
    cells = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert cells["| recipe"] == "| tiny"
    assert cells["all"] == cells["faces"]  # the one source
    assert cells["epochs"] == "4"
