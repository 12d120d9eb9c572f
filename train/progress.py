"""The progress of a training run: a bar on a terminal, and a line for each epoch."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from train.fitting.checkpoint import Epoch
from train.fitting.epoch import Step
from train.fitting.recipe import Recipe


class ProgressBar:
    """Shows one training run on standard error."""

    def __init__(self, bar: Progress, stream: TextIO, recipe: Recipe) -> None:
        self._bar = bar
        self._stream = stream
        self._sizes = recipe.sizes
        self._task = bar.add_task("", total=None, loss=0.0, accuracy=0.0, rate=0.0)
        self._began = 0.0

    def step(self, step: Step) -> None:
        """Move the bar by one batch, and show its loss and accuracy."""
        if step.step == 1:
            self._began = time.monotonic()
            self._begin_epoch(step)
        seconds = max(1e-3, time.monotonic() - self._began)
        self._bar.update(
            self._task,
            advance=step.size**2 / step.steps,  # a batch costs as much as its area
            loss=step.loss,
            accuracy=100 * step.accuracy,
            rate=step.step * step.pictures / seconds,
        )

    def _begin_epoch(self, step: Step) -> None:
        costs = [size**2 for size in self._sizes]
        self._bar.update(
            self._task,
            total=sum(costs),
            completed=sum(costs[: step.epoch - 1]),
            description=f"epoch {step.epoch}/{len(costs)}",
        )

    def epoch(self, epoch: Epoch) -> None:
        """Write the line of a finished epoch."""
        line = (
            f"epoch={epoch.epoch} size={epoch.size} train_loss={epoch.train_loss:.4f} "
            f"val_loss={epoch.val_loss:.4f} "
            f"val_balanced_accuracy={epoch.val_balanced_accuracy:.4f} seconds={epoch.seconds:.0f}"
        )
        if self._bar.disable:
            print(line, file=self._stream, flush=True)
        else:
            self._bar.console.print(line, highlight=False)


class NoProgress:
    """For all processes but that of rank 0."""

    def step(self, step: Step) -> None:
        """Show nothing."""

    def epoch(self, epoch: Epoch) -> None:
        """Show nothing."""


@contextmanager
def training(recipe: Recipe) -> Iterator[ProgressBar]:
    """Show a training run as long as the context lasts."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("right {task.fields[accuracy]:.0f} %"),
        TextColumn("{task.fields[rate]:.0f} images/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield ProgressBar(bar, sys.stderr, recipe)
