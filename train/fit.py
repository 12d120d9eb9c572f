"""Train a network by a recipe; a stopped run goes on where its last epoch ended."""

import csv
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from gdwatch.errors import GdwatchError
from train import checkpoint, pictures
from train.augment import at_size, augment
from train.checkpoint import CHECKPOINT, Basis, Epoch, Run
from train.judge import Indices, logits, photos
from train.measures import balanced_accuracy
from train.pictures import Prepared
from train.recipe import Recipe

METRICS = "metrics.csv"
PREPARED = "prepared.txt"  # where the pictures are, for `export`
_STATISTICS = 4000  # pictures are enough for mean and standard deviation to three digits


@dataclass(frozen=True, slots=True)
class Step:
    """One batch was learnt: for the progress bar.

    step: from 1 to `steps` within the epoch; pictures: in the batch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    pictures: int
    loss: float


def fit(
    prepared: Prepared,
    recipe: Recipe,
    out: Path,
    on_step: Callable[[Step], None],
    on_epoch: Callable[[Epoch], None],
) -> Run:
    """Train until the recipe's last epoch, with a checkpoint in `out` after each.

    Raises GdwatchError if the data do not suffice or `out` holds a run of something else.
    """
    learnt = shown(prepared, recipe)
    held_back = prepared.select("val", recipe.min_age)
    male = prepared.is_male()
    for split, rows in (("train", learnt), ("val", held_back)):
        if len(set(male[rows].tolist())) < 2:
            raise GdwatchError(
                f"{prepared.folder}: split {split} has {len(rows)} pictures, not of both classes",
                "prepare more pictures",
            )
    out.mkdir(parents=True, exist_ok=True)
    run = _resume(prepared, recipe, learnt, out)
    (out / PREPARED).write_text(str(prepared.folder.resolve()), encoding="utf-8")
    for number in range(len(run.history), len(recipe.sizes)):
        began = time.monotonic()
        loss = _learn(run, prepared, learnt, number, on_step)
        epoch = _measured(run, prepared, held_back, loss, began)
        run.history.append(epoch)
        if run.best_epoch is epoch:
            run.best = {name: value.clone() for name, value in run.average.state_dict().items()}
        checkpoint.save(run, out)
        _write_metrics(run.history, out)
        on_epoch(epoch)
    return run


def shown(prepared: Prepared, recipe: Recipe) -> Indices:
    """The rows that an epoch shows, small sources repeated."""
    rows = prepared.select("train", recipe.min_age)
    times = [recipe.repeat.get(prepared.rows[row].source, 1) for row in rows]
    return np.repeat(rows, times)


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Up in a line during the warm-up, then down along a cosine to nothing."""
    if step < recipe.warmup_steps:
        return recipe.lr * (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps)
    return recipe.lr * (1 + math.cos(math.pi * done)) / 2


def prepared_of(run: Run, folder: Path) -> Prepared:
    """Open the prepared folder that the run in `folder` learns from. Raises GdwatchError."""
    try:
        prepared = pictures.load(Path((folder / PREPARED).read_text(encoding="utf-8")))
    except OSError as error:
        raise GdwatchError(
            f"{folder}: no {PREPARED} in it", "give the run to `gdtrain fit` once more"
        ) from error
    _require_same("prepared folder", folder, same=run.basis.data == prepared.digest)
    return prepared


def _resume(prepared: Prepared, recipe: Recipe, learnt: Indices, out: Path) -> Run:
    if not (out / CHECKPOINT).exists():
        return checkpoint.start(_basis(prepared, recipe, learnt))
    run = checkpoint.load(out)
    _require_same("recipe", out, same=run.basis.recipe == recipe)
    _require_same("prepared folder", out, same=run.basis.data == prepared.digest)
    return run


def _require_same(what: str, out: Path, *, same: bool) -> None:
    if not same:
        raise GdwatchError(
            f"{out / CHECKPOINT}: made with another {what}", "train into another folder"
        )


def _basis(prepared: Prepared, recipe: Recipe, learnt: Indices) -> Basis:
    some = np.sort(np.random.default_rng(recipe.seed).permutation(learnt)[:_STATISTICS])
    values = photos(prepared, some).float() / 255
    mean, std = values.mean((0, 2, 3)).tolist(), values.std((0, 2, 3)).tolist()
    return Basis(
        recipe=recipe,
        data=prepared.digest,
        mean=(round(mean[0], 4), round(mean[1], 4), round(mean[2], 4)),
        # Black pictures have none, and it divides.
        std=(max(0.01, round(std[0], 4)), max(0.01, round(std[1], 4)), max(0.01, round(std[2], 4))),
    )


def _learn(
    run: Run, prepared: Prepared, learnt: Indices, number: int, on_step: Callable[[Step], None]
) -> float:
    """Run one epoch; returns its mean loss."""
    recipe = run.basis.recipe
    # Order, augmentation and dropout of an epoch depend on its number alone, so a run that
    # goes on throws the same dice as one that was never stopped.
    torch.manual_seed(recipe.seed * 1_000_003 + number)
    run.network.train()
    male = torch.from_numpy(prepared.is_male()).float()
    batches = list(_batches(learnt, recipe.batch))
    total = 0.0
    for step, rows in enumerate(batches):
        rate = learning_rate(number * len(batches) + step, len(recipe.sizes) * len(batches), recipe)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        seen = augment(at_size(photos(prepared, rows), recipe.sizes[number]), recipe.augmentation)
        loss = _loss(run.network(seen), male[rows], recipe.label_smoothing)
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        _follow(run.average, run.network, recipe.ema)
        total += loss.item()
        on_step(Step(number + 1, len(recipe.sizes), step + 1, len(batches), len(rows), loss.item()))
    return total / len(batches)


def _batches(learnt: Indices, batch: int) -> Iterator[Indices]:
    order = learnt[torch.randperm(len(learnt)).numpy()]
    whole = max(1, len(order) // batch)  # a last small batch would only disturb the norms
    for number in range(whole):
        yield order[number * batch : (number + 1) * batch]


def _loss(judged: Tensor, male: Tensor, smoothing: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(judged, male * (1 - smoothing) + smoothing / 2)


def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the average a little towards the network, its norms' statistics too."""
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def _measured(
    run: Run, prepared: Prepared, held_back: Indices, train_loss: float, began: float
) -> Epoch:
    recipe = run.basis.recipe
    male = prepared.is_male()[held_back]
    judged = logits(run.average, prepared, held_back, recipe.input)
    loss = _loss(torch.from_numpy(judged), torch.from_numpy(male).double(), 0.0)
    number = len(run.history)
    return Epoch(
        epoch=number + 1,
        size=recipe.sizes[number],
        train_loss=train_loss,
        val_loss=loss.item(),
        val_balanced_accuracy=balanced_accuracy(judged > 0, male),
        seconds=time.monotonic() - began,
    )


def _write_metrics(history: list[Epoch], out: Path) -> None:
    with (out / METRICS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Epoch)])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in history)
