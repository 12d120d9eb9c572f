import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from gdwatch.networks.pooled import PooledClassifier
from tests.train.build import TINY_LOCATOR, Killed, Untold, faces_of, fitted
from tests.train.published.dlib_file import written
from train.data import prepared_set
from train.data.crops import FALSE
from train.data.prepared_set import Prepared
from train.data.sources import entries
from train.detection import crop_faces, train_locator
from train.export.export import export
from train.fitting import checkpoint
from train.fitting.checkpoint import Run
from train.fitting.fit import fit, prepared_of
from train.fitting.predict import logits
from train.fitting.recipe import Pooled, Recipe
from train.fitting.teacher import ModelTeacher
from train.published import dlib


def weights(run: Run) -> dict[str, Any]:
    network = {f"network.{name}": value for name, value in run.network.state_dict().items()}
    return {**run.average.state_dict(), **network}


def test_training_lowers_the_loss_on_separable_pictures(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = fitted(prepared, recipe, tmp_path / "run")
    assert run.history[-1].train_loss < 0.7 * run.history[0].train_loss
    assert run.best_epoch.val_balanced_accuracy > 0.9


def test_a_killed_run_that_goes_on_ends_with_the_same_weights(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    whole = fitted(prepared, recipe, tmp_path / "whole")
    with pytest.raises(Killed):
        fitted(prepared, recipe, tmp_path / "killed", kill_at=(3, 2))
    assert len(checkpoint.load(tmp_path / "killed").history) == 2
    resumed = fitted(prepared, recipe, tmp_path / "killed")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_a_finished_run_is_not_trained_further(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    fitted(prepared, recipe, tmp_path / "run")
    fitted(prepared, recipe, tmp_path / "run", kill_at=(1, 1))


def test_a_run_finds_its_prepared_folder_whatever_its_name(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    folder = prepared.folder.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    run = fitted(prepared_set.load(folder), recipe, tmp_path / "run")
    assert prepared_of(run, tmp_path / "run").folder == folder


def test_a_checkpoint_of_another_recipe_is_refused(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    fitted(prepared, recipe, tmp_path / "run")
    other = recipe.model_copy(update={"seed": 4})
    with pytest.raises(GdwatchError, match=r"checkpoint\.pt: made with another recipe"):
        fitted(prepared, other, tmp_path / "run")


def test_a_prepared_folder_without_validation_pictures_is_an_error(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    learnt = [number for number, row in enumerate(prepared.rows) if row.split == "train"]
    only = replace(prepared, rows=[prepared.rows[n] for n in learnt])
    with pytest.raises(GdwatchError, match="split val has 0 pictures, not of both classes"):
        fitted(only, recipe, tmp_path)


def test_an_ensemble_answers_with_the_mean_of_its_members(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    shape = recipe.network.model_dump() | {"arch": "ensemble", "members": 3}
    several = Recipe.model_validate(recipe.model_dump() | {"network": shape})
    network = fitted(prepared, several, tmp_path).average
    photos = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        members = network.logits(photos)
        assert members.shape == (5, 3)
        assert len({round(float(logit), 4) for logit in members[0]}) == 3
        assert torch.allclose(network(photos)[:, 0], members.mean(1))


def test_a_teacher_moves_what_is_learnt(prepared: Prepared, recipe: Recipe, tmp_path: Path) -> None:
    fitted(prepared, recipe, tmp_path / "teacher")
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
        fitted(prepared, taught, tmp_path)


def network() -> PooledClassifier:
    torch.manual_seed(0)
    return PooledClassifier(widths=[8, 16], blocks=[1, 2], mean=dlib.MEAN, std=dlib.STD).eval()


def test_a_run_begins_with_published_weights_and_goes_on_with_the_same_alone(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    shape = Pooled(arch="pooled", widths=[8, 16], blocks=[1, 2])
    still = recipe.optimizer.model_copy(update={"lr": 1e-12})
    pooled = recipe.model_copy(update={"network": shape, "optimizer": still})
    start = tmp_path / "start.dat"
    written(start, network())
    run = fit(prepared, pooled, tmp_path / "run", Untold(), start=start)
    begun = PooledClassifier(**pooled.arguments, mean=dlib.MEAN, std=dlib.STD)
    dlib.load_weights(begun, start)
    assert torch.allclose(run.network.stem.weight, begun.stem.weight, atol=1e-4)
    file = export(tmp_path / "run", tmp_path / "m.safetensors", "m", "1", 0.99).file
    details = model_file.read(file).details
    assert details.classifier.arch == "pooled"
    assert [each["name"] for each in details.trained_on["weights"]] == ["start.dat"]
    start.write_bytes(start.read_bytes() + b" ")
    with pytest.raises(GdwatchError, match="made with another start"):
        fit(prepared, pooled, tmp_path / "run", Untold(), start=start)
    with pytest.raises(UsageError, match="leave --start out"):
        fit(prepared, recipe, tmp_path / "other", Untold(), start=start)


def test_faces_are_learnt_with_a_tutor_and_shipped_with_a_locator(
    cut: Prepared, prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    phase = recipe.phases[0].model_copy(update={"size": 32, "epochs": 1})
    network = Pooled(arch="pooled", widths=[4, 8], blocks=[1, 1])
    face = recipe.model_copy(update={"phases": [phase], "network": network, "crop": "face"})
    with pytest.raises(UsageError, match="learns from crop face"):
        fit(prepared, face, tmp_path / "no", Untold())
    first = fit(cut, face, tmp_path / "first", Untold())
    assert first.history[-1].epoch == 1
    data = next(prepared.folder.parent.glob("*/female")).parent
    splits = prepared_set.splits(prepared.folder)
    list(
        train_locator.fit(
            entries([data]), splits, faces_of(data), TINY_LOCATOR, tmp_path / "locator", workers=0
        )
    )
    file = tmp_path / "m.safetensors"
    with pytest.raises(UsageError, match="give --locator"):
        export(tmp_path / "first", file, "m", "1", 0.9)
    export(tmp_path / "first", file, "m", "1", 0.9, tmp_path / "locator")
    loaded = model.load(model_file.read(file))
    assert loaded.locator is not None
    assert loaded.details.preprocessing.margin == crop_faces.MARGIN
    tutored = face.model_copy(update={"tutor": 0.5})
    with pytest.raises(UsageError, match="a tutor, but none was given"):
        fit(cut, tutored, tmp_path / "second", Untold())
    second = fit(cut, tutored, tmp_path / "second", Untold(), tutor=loaded, start=file)
    assert second.basis.tutor == loaded.sha256
    assert second.history[0].train_loss != first.history[0].train_loss


def test_photographs_without_people_teach_what_nobody_can_tell(
    with_nobody: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    nobody = np.array([r for r in with_nobody.nobody if with_nobody.crop(r).kind == FALSE])
    known = prepared_set.splits(with_nobody.folder)
    split = [prepared_set.split_of_path(f"none/{number}.png", known) for number in range(6)]
    assert len(nobody) >= 6 * (split.count("train") + split.count("val")) > 0
    assert nobody[0] == len(with_nobody.rows)
    learnt = recipe.model_copy(update={"crop": "face"})
    without = fit(with_nobody, learnt, tmp_path / "without", Untold())
    taught = learnt.model_copy(update={"nobody": 8})
    run = fit(with_nobody, taught, tmp_path / "run", Untold())
    size = recipe.input

    def doubt(run: Run) -> float:
        return float(np.abs(logits(run.average, with_nobody, nobody, size)).mean())

    assert doubt(run) < 0.5 * doubt(without)
    assert run.history[-1].val_balanced_accuracy > 0.9
    np.save(with_nobody.folder / "pictures.npy", np.asarray(with_nobody.stored))
    with pytest.raises(GdwatchError, match=r"120 rows in manifest.csv, but pictures.npy"):
        prepared_set.load(with_nobody.folder)
