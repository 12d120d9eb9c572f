"""Train the locator on composed scenes; a stopped run goes on."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from gdwatch.errors import GdwatchError
from gdwatch.networks.locator import Locator
from train.atomic_files import make_folder, publish
from train.data.sources import Entry
from train.detection import stock
from train.detection.boxes import Face
from train.detection.locator_loss import loss_of
from train.detection.locator_measures import LocatorMeasures, measure
from train.detection.locator_recipe import LocatorRecipe
from train.detection.locator_run import LocatorRun, resume, save
from train.detection.scene_dataset import SceneDataset
from train.detection.scenes import Stock
from train.detection.unfolding import unfold

METRICS = "locator.json"
_SCENES_TO_BEGIN = 256  # by which batch norms get their mean and variance


def fit(  # noqa: PLR0913 - the inputs of a run
    listed: Sequence[Entry],
    splits: Mapping[str, str],
    faces: Mapping[str, Sequence[Face]],
    recipe: LocatorRecipe,
    out: Path,
    *,
    workers: int,
    begin: Locator | None = None,
) -> Iterator[tuple[int, float, list[LocatorMeasures]]]:
    """Train until the last epoch, with a checkpoint in `out` after each.

    splits: by path, the split of each photograph. faces: by path, those that the detector found.
    workers: processes that compose scenes; 0 to compose them in this one.
    begin: a finished locator, with whose weights the training begins.

    Yields each epoch's number, its mean loss and, after every fifth and the last, its measures on
    the split `val`. Raises GdwatchError.
    """
    make_folder(out)
    run = resume(recipe, out)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run.network.to(device)
    run.average.to(device)
    run.optimizer.load_state_dict(run.optimizer.state_dict())
    chosen = [entry for entry in listed if entry.source not in recipe.without]
    learnt = [entry for entry in chosen if splits[entry.path] == "train"]
    held_back = [entry for entry in chosen if splits[entry.path] == "val"]
    if len(run.losses) < recipe.epochs:
        made_of = stock.load(learnt, faces, recipe.repeat, recipe.close, recipe.kept)
        if not made_of.wide and not made_of.close:
            raise GdwatchError("no photograph with a face to learn from", "check --faces")
        checked = [
            (entry, seen)
            for entry in held_back
            if (seen := stock.read(entry, faces.get(entry.path, []), recipe.kept)) is not None
        ]
        if begin is not None and not run.losses:
            _begin(run, begin, made_of)
    for epoch in range(len(run.losses), recipe.epochs):
        scenes = DataLoader(
            SceneDataset(made_of, recipe, epoch),
            recipe.batch,
            num_workers=workers,
            drop_last=recipe.scenes >= recipe.batch,
            pin_memory=device.type == "cuda",
        )
        run.losses.append(_train_epoch(run, scenes, epoch, device))
        save(run, out)
        measured: list[LocatorMeasures] = []
        if (epoch + 1) % 5 == 0 or epoch + 1 == recipe.epochs:
            measured = measure(run.average, checked, recipe.input)
            with publish(out / METRICS) as aside:
                aside.write_text(json.dumps([asdict(one) for one in measured], indent=2) + "\n")
        yield epoch + 1, run.losses[-1], measured


def _begin(run: LocatorRun, finished: Locator, made_of: Stock) -> None:
    scenes = SceneDataset(made_of, run.recipe, epoch=0)
    seen = torch.stack([scenes[number][0] for number in range(min(_SCENES_TO_BEGIN, len(scenes)))])
    seen = seen.to(next(run.network.parameters()).device)
    unfold(run.network, finished.to(seen.device), seen)
    run.average.load_state_dict(run.network.state_dict())


def _train_epoch(
    run: LocatorRun, scenes: DataLoader[tuple[Tensor, ...]], epoch: int, device: torch.device
) -> float:
    recipe = run.recipe
    run.network.train()
    total, steps = 0.0, len(scenes) * recipe.epochs
    for step, batch in enumerate(scenes):
        done = epoch * len(scenes) + step
        warm = min(1.0, (done + 1) / max(1, recipe.warmup * steps))
        for group in run.optimizer.param_groups:
            group["lr"] = recipe.lr * warm * (1 + math.cos(math.pi * done / steps)) / 2
        thumbnails, *wanted = (values.to(device, non_blocking=True) for values in batch)
        loss = loss_of(run.network(thumbnails), wanted)
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
        run.optimizer.step()
        keep = min(recipe.ema, (1 + done) / (10 + done))
        for old, new in zip(
            run.average.state_dict().values(), run.network.state_dict().values(), strict=True
        ):
            if old.is_floating_point():
                old.lerp_(new, 1 - keep)
        total += loss.item()
    return total / len(scenes)
