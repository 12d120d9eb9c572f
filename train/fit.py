"""Train a network by a recipe; a stopped run goes on where its last epoch ended."""

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.model import Model
from train import checkpoint, history, pictures
from train.checkpoint import CHECKPOINT, Basis, Epoch, Run
from train.dlib import begin_with, digest
from train.judge import Indices, logits, photos
from train.learn import Lessons, Shown, learn, learner
from train.measures import balanced_accuracy, probabilities
from train.pictures import Prepared
from train.publish import make_folder, publish
from train.recipe import Colour, Recipe
from train.team import Team, alone

PREPARED = "prepared.txt"  # where the pictures are, for `export`
_STATISTICS = 4000  # pictures are enough for mean and standard deviation to three digits


def fit(  # noqa: PLR0913 - all that a run is made from
    prepared: Prepared,
    recipe: Recipe,
    out: Path,
    shown: Shown,
    teacher: Model | None = None,
    team: Team | None = None,
    start: Path | None = None,
) -> Run:
    """Train until the recipe's last epoch, with a checkpoint in `out` after each.

    start: dlib's published weights for a pooled network to begin with, see `dlib`.

    Raises GdwatchError if the data do not suffice or `out` holds a run of something else.
    """
    team = team or alone()
    team.require_equal_parts(recipe.batch)
    learnt = pictures_of_an_epoch(prepared, recipe)
    held_back = prepared.select("val", recipe.min_age)
    _require_both_classes(prepared, learnt, held_back)
    _require_teacher(recipe, teacher)
    make_folder(out)
    run = _resume(_basis(prepared, recipe, learnt, teacher, start), out, start)
    run.to(team.device)
    if team.rank == 0:
        _write_origin(prepared, recipe, out)
    targets = _targets(prepared, learnt, recipe, teacher, team)
    network = learner(run.network, team)
    for _ in range(len(run.history), len(recipe.sizes)):
        began = time.monotonic()
        loss = learn(run, network, Lessons(prepared, learnt, targets), team, shown)
        epoch = _measured(run, prepared, held_back, loss, began)
        run.history.append(epoch)
        if run.best_epoch is epoch:
            run.best = {
                name: value.clone().cpu() for name, value in run.average.state_dict().items()
            }
        if team.rank == 0:
            checkpoint.save(run, out)
            history.write(run.history, out)
        shown.epoch(epoch)
    return run


def pictures_of_an_epoch(prepared: Prepared, recipe: Recipe) -> Indices:
    """The rows that an epoch shows, small sources repeated."""
    rows = prepared.select("train", recipe.min_age)
    if recipe.pictures is not None:
        by_hash = sorted(rows.tolist(), key=lambda row: prepared.rows[row].sha256)
        rows = np.sort(np.array(by_hash[: recipe.pictures], dtype=np.int64))
    times = [recipe.repeat.get(prepared.rows[row].source, 1) for row in rows]
    return np.repeat(rows, times)


def prepared_of(run: Run, folder: Path) -> Prepared:
    """Open the prepared folder that the run in `folder` learns from. Raises GdwatchError."""
    try:
        prepared = pictures.load_manifest(Path((folder / PREPARED).read_text(encoding="utf-8")))
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


def _require_teacher(recipe: Recipe, teacher: Model | None) -> None:
    if recipe.teacher and teacher is None:
        raise UsageError("the recipe has a teacher, but none was given", "name one with --teacher")
    if teacher is not None and not recipe.teacher:
        raise UsageError(
            "the recipe has no `teacher`", "leave --teacher out, or use the recipe distil"
        )


def _resume(basis: Basis, out: Path, start: Path | None) -> Run:
    """Go on with the run in `out`, or begin one."""
    if not (out / CHECKPOINT).exists():
        run = checkpoint.start(basis)
        if start is not None:
            begin_with(run.network, start)
            run.average.load_state_dict(run.network.state_dict())
        return run
    run = checkpoint.load(out)
    _require_same("recipe", out, same=run.basis.recipe == basis.recipe)
    _require_same("prepared folder", out, same=run.basis.data == basis.data)
    _require_same("teacher", out, same=run.basis.teacher == basis.teacher)
    _require_same("start", out, same=run.basis.start == basis.start)
    return run


def _require_same(what: str, out: Path, *, same: bool) -> None:
    if not same:
        raise GdwatchError(
            f"{out / CHECKPOINT}: made with another {what}", "train into another folder"
        )


def _basis(
    prepared: Prepared, recipe: Recipe, learnt: Indices, teacher: Model | None, start: Path | None
) -> Basis:
    if start is not None and recipe.network.arch != "pooled":
        raise UsageError(
            f"the recipe's network is {recipe.network.arch}",
            "leave --start out, or use a recipe with a pooled network",
        )
    some = np.sort(np.random.default_rng(recipe.seed).permutation(learnt)[:_STATISTICS])
    values = photos(prepared, some).float() / 255
    mean, std = values.mean((0, 2, 3)).tolist(), values.std((0, 2, 3)).tolist()
    return Basis(
        recipe=recipe,
        data=prepared.digest,
        teacher=teacher.sha256 if teacher else "",
        start=digest(start) if start else "",
        mean=recipe.mean or _rounded(mean),
        std=recipe.std or _rounded([max(0.01, value) for value in std]),  # of black it is 0
    )


def _rounded(colour: list[float]) -> Colour:
    return round(colour[0], 4), round(colour[1], 4), round(colour[2], 4)


def _write_origin(prepared: Prepared, recipe: Recipe, out: Path) -> None:
    with publish(out / PREPARED) as aside:
        aside.write_text(str(prepared.manifest.resolve()), encoding="utf-8")
    history.write_recipe(recipe, out)


def _targets(
    prepared: Prepared, learnt: Indices, recipe: Recipe, teacher: Model | None, team: Team
) -> torch.Tensor:
    """The share of `male` that each row teaches; only those of `learnt` are meant to be used."""
    smoothing = recipe.label_smoothing
    targets = prepared.is_male().astype(np.float64) * (1 - smoothing) + smoothing / 2
    if teacher is not None:
        rows = np.unique(learnt)
        classifier, details = teacher.classifier.to(team.device), teacher.details
        judged = logits(classifier, prepared, rows, details.classifier.input)
        said = probabilities(judged, details.temperature)
        targets[rows] += recipe.teacher * (said - targets[rows])
    return torch.from_numpy(targets).float()


def _measured(
    run: Run, prepared: Prepared, held_back: Indices, train_loss: float, began: float
) -> Epoch:
    number = len(run.history)
    size = run.basis.recipe.sizes[number]
    male = prepared.is_male()[held_back]
    judged = logits(run.average, prepared, held_back, size)
    loss = F.binary_cross_entropy_with_logits(
        torch.from_numpy(judged), torch.from_numpy(male).double()
    )
    return Epoch(
        epoch=number + 1,
        size=size,
        train_loss=train_loss,
        val_loss=loss.item(),
        val_balanced_accuracy=balanced_accuracy(judged > 0, male),
        seconds=time.monotonic() - began,
    )
