"""What `gdtrain` shows of work that takes long: a bar on a terminal, else a line an epoch."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from train.checkpoint import Epoch
from train.fit import Step


class Shown:
    """One training run on standard error."""

    def __init__(self, bar: Progress, stream: TextIO) -> None:
        self._bar = bar
        self._stream = stream
        self._task = bar.add_task("", total=None, loss=0.0)

    def step(self, step: Step) -> None:
        """Move the bar by one batch; `loss` is its own."""
        name = f"epoch {step.epoch}/{step.epochs}"
        if step.step == 1:
            self._bar.reset(self._task, total=step.steps * step.pictures, description=name)
        self._bar.update(self._task, advance=step.pictures, loss=step.loss)

    def epoch(self, epoch: Epoch) -> None:
        """Write the line of an epoch that is done."""
        line = (
            f"epoch={epoch.epoch} size={epoch.size} train_loss={epoch.train_loss:.4f} "
            f"val_loss={epoch.val_loss:.4f} "
            f"val_balanced_accuracy={epoch.val_balanced_accuracy:.4f} seconds={epoch.seconds:.0f}"
        )
        if self._bar.disable:
            print(line, file=self._stream, flush=True)
        else:
            self._bar.console.print(line, highlight=False)


@contextmanager
def training() -> Iterator[Shown]:
    """Show a training run as long as the context lasts."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("{task.speed:.0f} images/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield Shown(bar, sys.stderr)
