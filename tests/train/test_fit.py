import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gdwatch.errors import GdwatchError, UsageError
from train import checkpoint
from train import recipe as recipes
from train.augment import augment
from train.checkpoint import Epoch, Run
from train.fit import Step, fit, learning_rate, shown
from train.pictures import Prepared
from train.recipe import Recipe


class Killed(Exception):  # noqa: N818 - not an error
    """Stands for whatever ends a process."""


def train(prepared: Prepared, recipe: Recipe, out: Path, kill_at: tuple[int, int] = (0, 0)) -> Run:
    def on_step(step: Step) -> None:
        if (step.epoch, step.step) == kill_at:
            raise Killed

    def on_epoch(epoch: Epoch) -> None:
        pass

    return fit(prepared, recipe, out, on_step, on_epoch)


def weights(run: Run) -> dict[str, Any]:
    network = {f"network.{name}": value for name, value in run.network.state_dict().items()}
    return {**run.average.state_dict(), **network}


def test_training_lowers_the_loss_on_separable_pictures(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = train(prepared, recipe, tmp_path / "run")
    assert run.history[-1].train_loss < 0.7 * run.history[0].train_loss
    assert run.best_epoch.val_balanced_accuracy > 0.9


def test_a_killed_run_that_goes_on_ends_with_the_same_weights(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    whole = train(prepared, recipe, tmp_path / "whole")
    with pytest.raises(Killed):
        train(prepared, recipe, tmp_path / "killed", kill_at=(3, 2))
    assert len(checkpoint.load(tmp_path / "killed").history) == 2
    resumed = train(prepared, recipe, tmp_path / "killed")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_a_finished_run_is_not_trained_further(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    train(prepared, recipe, tmp_path / "run")
    train(prepared, recipe, tmp_path / "run", kill_at=(1, 1))


def test_a_checkpoint_of_another_recipe_is_refused(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    train(prepared, recipe, tmp_path / "run")
    other = recipe.model_copy(update={"lr": 0.02})
    with pytest.raises(GdwatchError, match=r"checkpoint\.pt: made with another recipe"):
        train(prepared, other, tmp_path / "run")


def test_a_damaged_checkpoint_is_refused(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(GdwatchError, match=r"checkpoint\.pt: not a checkpoint of this gdtrain"):
        train(prepared, recipe, tmp_path)


def test_metrics_have_a_line_an_epoch(prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    train(prepared, recipe, tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["epoch"], row["size"]) for row in rows] == [
        ("1", "16"),
        ("2", "16"),
        ("3", "32"),
        ("4", "32"),
    ]
    assert float(rows[0]["val_balanced_accuracy"]) >= 0


def test_young_children_are_not_learnt(prepared: Prepared, recipe: Recipe) -> None:
    prepared.rows[:] = [
        replace(row, age=(9, 10, None)[number % 3], split="train")
        for number, row in enumerate(prepared.rows)
    ]
    ages = [prepared.rows[number].age for number in shown(prepared, recipe)]
    assert (len(ages), set(ages)) == (80, {10, None})


def test_a_small_source_is_shown_more_often(prepared: Prepared, recipe: Recipe) -> None:
    often = recipe.model_copy(update={"repeat": {"faces": 3}})
    assert len(shown(prepared, often)) == 3 * len(shown(prepared, recipe))


def test_a_prepared_folder_without_validation_pictures_is_an_error(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    learnt = [number for number, row in enumerate(prepared.rows) if row.split == "train"]
    only = Prepared(
        prepared.folder, [prepared.rows[n] for n in learnt], prepared.pixels[learnt], "x"
    )
    with pytest.raises(GdwatchError, match="split val has 0 pictures, not of both classes"):
        train(only, recipe, tmp_path)


def test_the_learning_rate_warms_up_and_ends_at_nothing(recipe: Recipe) -> None:
    rates = [learning_rate(step, 100, recipe) for step in range(101)]
    assert rates[0] == pytest.approx(recipe.lr / 2)
    assert max(rates) == pytest.approx(recipe.lr)
    assert rates[100] == pytest.approx(0)


def test_augmentation_of_nothing_mirrors_at_most(recipe: Recipe) -> None:
    still = recipe.augmentation.model_copy(
        update=dict.fromkeys(("degrees", "shift", "brightness", "contrast", "grey"), 0.0)
        | {"zoom": 1.0}
    )
    photos = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    for before, after in zip(photos.float(), augment(photos, still), strict=True):
        mirrored = after.flip(2)
        assert torch.allclose(after, before, atol=0.01) or torch.allclose(
            mirrored, before, atol=0.01
        )


def test_the_packaged_recipe_is_valid() -> None:
    assert recipes.read("default").input == 128


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"recipe none: no such file; name one of default"):
        recipes.read("none")


def test_an_unknown_key_of_a_recipe_is_named(tmp_path: Path) -> None:
    text = (recipes.PACKAGED / "default.toml").read_text()
    (tmp_path / "r.toml").write_text("epochz = 3\n" + text)
    with pytest.raises(GdwatchError, match=r"r\.toml: epochz: extra inputs are not permitted"):
        recipes.read(str(tmp_path / "r.toml"))
