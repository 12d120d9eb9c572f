import csv
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from tests.train.conftest import DAMAGED, Told, Untold
from train.data.prepared_set import Prepared
from train.export.export import export
from train.fitting import checkpoint
from train.fitting import recipe as recipes
from train.fitting.augment import augment, throw
from train.fitting.checkpoint import Run
from train.fitting.epoch import Step, learning_rate
from train.fitting.fit import fit
from train.fitting.recipe import Recipe
from train.fitting.selection import pictures_of_an_epoch
from train.fitting.teacher import ModelTeacher


class Killed(Exception):  # noqa: N818 - not an error
    """Stands for whatever ends a process."""


class KilledAt(Untold):
    """Ends a training at a step of an epoch."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def step(self, step: Step) -> None:
        if (step.epoch, step.step) == self.at:
            raise Killed


def train(prepared: Prepared, recipe: Recipe, out: Path, kill_at: tuple[int, int] = (0, 0)) -> Run:
    return fit(prepared, recipe, out, KilledAt(*kill_at))


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
    other = recipe.model_copy(update={"seed": 4})
    with pytest.raises(GdwatchError, match=r"checkpoint\.pt: made with another recipe"):
        train(prepared, other, tmp_path / "run")


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_checkpoint_is_refused(
    content: bytes, prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
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
    ages = [prepared.rows[number].age for number in pictures_of_an_epoch(prepared, recipe)]
    assert (len(ages), set(ages)) == (80, {10, None})


def test_a_small_source_is_shown_more_often(prepared: Prepared, recipe: Recipe) -> None:
    often = recipe.model_copy(update={"repeat": {"faces": 3}})
    assert len(pictures_of_an_epoch(prepared, often)) == 3 * len(
        pictures_of_an_epoch(prepared, recipe)
    )


def test_a_prepared_folder_without_validation_pictures_is_an_error(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    learnt = [number for number, row in enumerate(prepared.rows) if row.split == "train"]
    only = replace(prepared, rows=[prepared.rows[n] for n in learnt])
    with pytest.raises(GdwatchError, match="split val has 0 pictures, not of both classes"):
        train(only, recipe, tmp_path)


def test_the_learning_rate_warms_up_and_ends_at_nothing(recipe: Recipe) -> None:
    rates = [learning_rate(step, 100, recipe.optimizer) for step in range(101)]
    assert rates[0] == pytest.approx(recipe.optimizer.lr / 10)
    assert max(rates) == pytest.approx(recipe.optimizer.lr)
    assert rates[100] == pytest.approx(0)


def test_augmentation_of_nothing_mirrors_at_most(recipe: Recipe) -> None:
    still = recipe.augmentation.model_copy(
        update=dict.fromkeys(("degrees", "shift", "brightness", "contrast", "grey"), 0.0)
        | {"zoom": 1.0}
    )
    photos = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    changed = augment(photos, throw(8, still), still, 16)
    for before, after in zip(photos.float(), changed, strict=True):
        mirrored = after.flip(2)
        assert torch.allclose(after, before, atol=0.01) or torch.allclose(
            mirrored, before, atol=0.01
        )


@pytest.mark.parametrize("file", sorted(recipes.PACKAGED.glob("*.toml")), ids=lambda f: f.stem)
def test_every_packaged_recipe_makes_a_network(file: Path) -> None:
    recipe = recipes.read(file.stem)
    basis = checkpoint.Basis(
        recipe, "", "", "", "", recipe.mean or (0, 0, 0), recipe.std or (1, 1, 1)
    )
    with torch.inference_mode():
        photos = torch.zeros((2, 3, recipe.input, recipe.input), dtype=torch.uint8)
        assert checkpoint.build(basis).eval()(photos).shape == (2,)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(
        UsageError, match=r"recipe none: no such file; name one of accurate, default"
    ):
        recipes.read("none")


def test_an_unknown_key_of_a_recipe_is_named(tmp_path: Path) -> None:
    text = (recipes.PACKAGED / "default.toml").read_text()
    (tmp_path / "r.toml").write_text("epochz = 3\n" + text)
    with pytest.raises(GdwatchError, match=r"r\.toml: epochz: extra inputs are not permitted"):
        recipes.read(str(tmp_path / "r.toml"))


def test_a_full_disk_leaves_the_checkpoint_before_intact(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(prepared, recipe, tmp_path, kill_at=(3, 2))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with (
        largest_file(len(before) // 2),
        pytest.raises(
            GdwatchError, match=r"checkpoint\.pt: could not be written \(.*\); make room"
        ),
    ):
        train(prepared, recipe, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    assert len(train(prepared, recipe, tmp_path).history) == 4


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow further, as a full disk does. size: bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_run_leaves_its_recipe_and_tensorboards_events(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    train(prepared, recipe, tmp_path)
    assert Recipe.model_validate_json((tmp_path / "recipe.json").read_text()) == recipe
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("val_loss")] == [1, 2, 3, 4]


def test_the_best_epoch_is_of_the_size_that_the_network_is_used_with(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = train(prepared, recipe, tmp_path)
    run.history[0] = replace(run.history[0], val_balanced_accuracy=1.0)
    assert run.best_epoch.size == recipe.input


def test_fewer_pictures_are_always_the_same(prepared: Prepared, recipe: Recipe) -> None:
    some = recipe.model_copy(update={"pictures": 20})
    rows = pictures_of_an_epoch(prepared, some)
    assert len(rows) == 20
    more = pictures_of_an_epoch(prepared, recipe.model_copy(update={"pictures": 30}))
    assert set(rows.tolist()) < set(more.tolist())


def test_an_ensemble_answers_with_the_mean_of_its_members(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    shape = recipe.network.model_dump() | {"arch": "ensemble", "members": 3}
    several = Recipe.model_validate(recipe.model_dump() | {"network": shape})
    network = train(prepared, several, tmp_path).average
    photos = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        members = network.logits(photos)
        assert members.shape == (5, 3)
        assert len({round(float(logit), 4) for logit in members[0]}) == 3
        assert torch.allclose(network(photos), members.mean(1))


def test_a_teacher_moves_what_is_learnt(prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    train(prepared, recipe, tmp_path / "teacher")
    file = export(tmp_path / "teacher", tmp_path / "teacher.safetensors", "t", "1", 0.99).file
    teacher = ModelTeacher(model.load(model_file.read(file)))
    taught = recipe.model_copy(update={"teacher": 0.65, "label_smoothing": 0.0})
    run = fit(prepared, taught, tmp_path / "student", Untold(), teacher)
    assert run.best_epoch.val_balanced_accuracy > 0.9
    with pytest.raises(GdwatchError, match="made with another teacher"):
        fit(
            prepared,
            taught,
            tmp_path / "student",
            Untold(),
            ModelTeacher(replace(teacher.model, sha256="other")),
        )


def test_a_recipe_with_a_teacher_needs_one(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    taught = recipe.model_copy(update={"teacher": 0.65})
    with pytest.raises(UsageError, match="none was given; name one with --teacher"):
        train(prepared, taught, tmp_path)


def test_nll_with_shares_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="nll learns classes, not shares"):
        Recipe.model_validate(recipe.model_dump() | {"loss": "nll"})


def test_a_whole_command_names_the_bad_recipe(
    prepared: Prepared, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("fit", prepared.folder, "--recipe", "sed", "--out", tmp_path / "run")
    assert told.status == 2
    assert told.err.startswith(
        "gdtrain: recipe sed: no such file; name one of accurate, default, distil,"
    )
    assert not (tmp_path / "run").exists()
