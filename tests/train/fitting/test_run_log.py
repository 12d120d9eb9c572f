import csv
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.train.build import fitted
from train.data.prepared_set import Prepared
from train.fitting.recipe import Recipe


def test_metrics_have_a_line_an_epoch(prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    fitted(prepared, recipe, tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["epoch"], row["size"]) for row in rows] == [
        ("1", "16"),
        ("2", "16"),
        ("3", "32"),
        ("4", "32"),
    ]
    assert float(rows[0]["val_balanced_accuracy"]) >= 0


def test_a_run_leaves_its_recipe_and_tensorboards_events(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    fitted(prepared, recipe, tmp_path)
    assert Recipe.model_validate_json((tmp_path / "recipe.json").read_text()) == recipe
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("val_loss")] == [1, 2, 3, 4]
