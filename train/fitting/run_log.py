"""The files by which a run can be followed: metrics.csv and TensorBoard's events."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from train.atomic_files import publish, publish_rows
from train.fitting.checkpoint import Epoch
from train.fitting.recipe import Recipe

METRICS = "metrics.csv"
RECIPE = "recipe.json"
TENSORBOARD = "tensorboard"


def write_recipe(recipe: Recipe, out: Path) -> None:
    """Write the recipe as JSON, with every default."""
    with publish(out / RECIPE) as aside:
        aside.write_text(recipe.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write(history: Sequence[Epoch], out: Path) -> None:
    """Write all epochs to metrics.csv, and the last one to TensorBoard's events."""
    publish_rows(out / METRICS, [field.name for field in fields(Epoch)], history)
    last = history[-1]
    # After a kill, an epoch may be repeated whose events were written: they are purged.
    with SummaryWriter(str(out / TENSORBOARD), purge_step=last.epoch) as events:
        for name, value in asdict(last).items():
            if name != "epoch":
                events.add_scalar(name, value, last.epoch)
