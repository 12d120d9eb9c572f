"""Train a classifier by a recipe; a stopped run goes on after its last whole epoch."""

import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.files.escaping import escape
from gdwatch.inference.model import Model
from gdwatch.networks.two_inputs import TwoInputClassifier
from train.atomic_files import make_folder, publish
from train.data import prepared_set
from train.data.prepared_set import Indices, Prepared
from train.data.tensors import PictureCache, read_pictures
from train.fitting import checkpoint, run_log
from train.fitting import start as initial
from train.fitting.checkpoint import CHECKPOINT, Basis, Epoch, Run
from train.fitting.distributed import ProcessGroup, single_process
from train.fitting.epoch import Progress, TrainingSet, for_training, train_epoch
from train.fitting.predict import answers, logits
from train.fitting.recipe import Colour, Recipe
from train.fitting.selection import (
    nobody_of_an_epoch,
    pictures_held_back,
    pictures_of_an_epoch,
)
from train.fitting.targets import lessons
from train.fitting.teacher import Teacher
from train.metrics import Bools, Floats, balanced_accuracy

PREPARED = "prepared.txt"  # has the path of the manifest, for `export`
_STATISTICS = 4000  # pictures are enough for mean and standard deviation to three digits


def fit(  # noqa: PLR0913 - the inputs of a run
    prepared: Prepared,
    recipe: Recipe,
    out: Path,
    progress: Progress,
    teacher: Teacher | None = None,
    processes: ProcessGroup | None = None,
    start: Path | None = None,
    tutor: Model | None = None,
) -> Run:
    """Train until the recipe's last epoch, with a checkpoint in `out` after each.

    start: initial weights: published ones, a model file, or the name of a shipped model.
    tutor: a model that answers for each augmented picture.

    Raises GdwatchError if the data do not suffice or `out` holds a run of something else.
    """
    processes = processes or single_process()
    processes.require_equal_shares(recipe.batch)
    _require("teacher", recipe.teacher, teacher)
    _require("tutor", recipe.tutor, tutor)
    _require_crop(recipe, prepared)
    if tutor is not None and isinstance(tutor.classifier, TwoInputClassifier):
        raise UsageError(
            "the tutor has two inputs, but sees only what the network sees",
            "name it with --teacher, or another one with --tutor",
        )
    learnt = pictures_of_an_epoch(prepared, recipe)
    held_back = pictures_held_back(prepared, recipe)
    _require_both_classes(prepared, learnt, held_back)
    start = initial.find(start, recipe) if start else None
    make_folder(out)
    run = _resume(_basis(prepared, recipe, learnt, (teacher, tutor), start), out, start)
    run.to(processes.device)
    if processes.rank == 0:
        _write_origin(prepared, recipe, out)
    learnt_from = lessons(prepared, recipe, teacher, processes.device)
    cache = PictureCache(prepared, processes.device)
    if tutor is not None:
        tutor.classifier.to(processes.device).eval()
    training_set = TrainingSet(prepared, learnt_from, cache, tutor)
    network = for_training(run.network, processes)
    for _ in range(len(run.history), len(recipe.sizes)):
        began = time.monotonic()
        loss = train_epoch(run, network, training_set, processes, progress)
        epoch = _measure_epoch(run, training_set, held_back, loss, began)
        run.history.append(epoch)
        if run.best_epoch is epoch:
            run.best = {
                name: value.clone().cpu() for name, value in run.average.state_dict().items()
            }
        if processes.rank == 0:
            checkpoint.save(run, out)
            run_log.write(run.history, out)
        progress.epoch(epoch)
    return run


def prepared_of(run: Run, folder: Path) -> Prepared:
    """Open the prepared folder that the run in `folder` is trained on. Raises GdwatchError."""
    try:
        prepared = prepared_set.load_manifest(
            Path(os.fsdecode((folder / PREPARED).read_bytes())), run.basis.recipe.crop
        )
    except OSError as error:
        raise GdwatchError(
            f"{folder}: no {PREPARED} in it", "give the run to `gdtrain fit` once more"
        ) from error
    _require_same("prepared folder", folder, same=run.basis.data == prepared.digest)
    return prepared


def _require_both_classes(prepared: Prepared, learnt: Indices, held_back: Indices) -> None:
    male = prepared.is_male()
    for split, rows in (("train", learnt), ("val", held_back)):
        if len(set(male[rows].tolist())) < 2:
            raise GdwatchError(
                f"{prepared.folder}: split {split} has {len(rows)} pictures, not of both classes",
                "prepare more pictures",
            )


def _require(name: str, share: float, given: object) -> None:
    if share and given is None:
        raise UsageError(f"the recipe has a {name}, but none was given", f"name one with --{name}")
    if given is not None and not share:
        raise UsageError(
            f"the recipe has no `{name}`", f"leave --{name} out, or use another recipe"
        )


def _require_crop(recipe: Recipe, prepared: Prepared) -> None:
    if recipe.crop != prepared.view:
        raise UsageError(f"the recipe learns from crop {recipe.crop}", "open the folder so")


def _resume(basis: Basis, out: Path, start: Path | None) -> Run:
    """Go on with the run in `out`, or begin one."""
    if not (out / CHECKPOINT).exists():
        run = checkpoint.start(basis)
        if start is not None:
            initial.load(run.network, start, basis.recipe)
            run.average.load_state_dict(run.network.state_dict())
        return run
    run = checkpoint.load(out)
    _require_same("recipe", out, same=run.basis.recipe == basis.recipe)
    _require_same("prepared folder", out, same=run.basis.data == basis.data)
    _require_same("teacher", out, same=run.basis.teacher == basis.teacher)
    _require_same("tutor", out, same=run.basis.tutor == basis.tutor)
    _require_same("start", out, same=run.basis.start == basis.start)
    return run


def _require_same(what: str, out: Path, *, same: bool) -> None:
    if not same:
        raise GdwatchError(
            f"{out / CHECKPOINT}: made with another {what}", "train into another folder"
        )


def _basis(
    prepared: Prepared,
    recipe: Recipe,
    learnt: Indices,
    taught: tuple[Teacher | None, Model | None],
    start: Path | None,
) -> Basis:
    teacher, tutor = taught
    some = np.sort(np.random.default_rng(recipe.seed).permutation(learnt)[:_STATISTICS])
    values = read_pictures(prepared, some).float() / 255
    mean, std = values.mean((0, 2, 3)).tolist(), values.std((0, 2, 3)).tolist()
    return Basis(
        recipe=recipe,
        data=prepared.digest,
        teacher=teacher.sha256 if teacher else "",
        tutor=tutor.sha256 if tutor else "",
        start=initial.sha256_of(start) if start else "",
        start_name=escape(os.fsencode(start.name)) if start else "",
        mean=recipe.mean or _rounded(mean),
        # The standard deviation of black pictures is 0.
        std=recipe.std or _rounded([max(0.01, value) for value in std]),
    )


def _rounded(colour: list[float]) -> Colour:
    return round(colour[0], 4), round(colour[1], 4), round(colour[2], 4)


def _write_origin(prepared: Prepared, recipe: Recipe, out: Path) -> None:
    with publish(out / PREPARED) as aside:
        aside.write_bytes(os.fsencode(prepared.manifest.resolve()))
    run_log.write_recipe(recipe, out)


def _measure_epoch(
    run: Run, training_set: TrainingSet, held_back: Indices, train_loss: float, began: float
) -> Epoch:
    number = len(run.history)
    size = run.basis.recipe.sizes[number]
    prepared, cache, recipe = training_set.prepared, training_set.cache, run.basis.recipe
    male = prepared.is_male()[held_back]
    predicted = logits(run.average, prepared, held_back, size, cache)
    loss = _cross_entropy(predicted, male)
    if recipe.tells_nobody:
        empty = nobody_of_an_epoch(prepared, recipe, "val")
        rows = np.concatenate((held_back, empty))
        said = answers(run.average, prepared, rows, size, cache)[:, 1]
        loss += recipe.nobody_loss * _cross_entropy(said, np.arange(len(rows)) >= len(held_back))
    return Epoch(
        epoch=number + 1,
        size=size,
        train_loss=train_loss,
        val_loss=loss,
        val_balanced_accuracy=balanced_accuracy(predicted > 0, male),
        seconds=time.monotonic() - began,
    )


def _cross_entropy(logits: Floats, is_so: Bools) -> float:
    wanted = torch.from_numpy(is_so).double()
    return F.binary_cross_entropy_with_logits(torch.from_numpy(logits), wanted).item()
