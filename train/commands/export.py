"""The commands that write model files."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdwatch.errors import UsageError
from train.commands.options import (
    Accuracy,
    Closer,
    Debug,
    LocatorOption,
    ModelOutput,
    Photographs,
    PreparedSplits,
)

if TYPE_CHECKING:
    from train.export.export import Exported

Name = Annotated[str | None, typer.Option(help="Of the model; else that of FILE.")]
Version = Annotated[str | None, typer.Option(help="Of the model; else the day.")]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What `fit` wrote.")],
    *,
    file: ModelOutput,
    name: Name = None,
    version: Version = None,
    accuracy: Accuracy = 0.99,
    locator: LocatorOption = None,
    closer: Closer = None,
    debug: Debug = False,
) -> None:
    """Calibrate the best epoch and write it as a model file, with MODEL_CARD.md beside it."""
    from train.export.export import export
    from train.export.naming import identity_of

    named = identity_of(file, name, version, datetime.now(UTC))
    _show(export(run, file, *named, accuracy, locator, closer), accuracy)


def fuse(
    face: Annotated[Path, typer.Argument(metavar="FACE", help="A run of `accurate`.")],
    around: Annotated[
        Path, typer.Argument(metavar="SURROUNDINGS", help="A run of `surroundings`.")
    ],
    *,
    file: ModelOutput,
    name: Name = None,
    version: Version = None,
    accuracy: Accuracy = 0.99,
    locator: LocatorOption = None,
    closer: Closer = None,
    debug: Debug = False,
) -> None:
    """Put the best epochs of two runs into one model, which sees a face and its surroundings."""
    from train.export.fuse import fuse
    from train.export.naming import identity_of

    named = identity_of(file, name, version, datetime.now(UTC))
    _show(fuse(face, around, file, named, accuracy, (locator, closer)), accuracy)


def _show(done: "Exported", accuracy: float) -> None:
    threshold, test = done.threshold, done.evaluation.overall
    if threshold.accuracy < accuracy:
        print(
            f"gdtrain: no min_confidence accepts with accuracy {accuracy} on val; "
            f"the best one reaches {threshold.accuracy:.4f}",
            file=sys.stderr,
        )
    print(f"{done.file} {done.sha256}")
    print(f"temperature {done.temperature:.4f}")
    print(f"min_confidence {threshold.min_confidence:.4f}")
    print(f"test balanced accuracy {test.balanced_accuracy:.4f}")
    print(f"test coverage {test.coverage:.4f}")


def calibrate(
    model: Annotated[Path, typer.Argument(help="What `export` wrote.")],
    data: Photographs,
    *,
    prepared: PreparedSplits,
    file: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Model file to write, if another.")
    ] = None,
    accuracy: Accuracy = 0.987,
    wild: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE", help="Source that counts as half of all, with the others so named."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Set ranges, temperature and min_confidence by whole photographs, and measure a model."""
    from rich.console import Console

    from train.evaluation.photographs import table
    from train.export.calibrate import calibrate
    from train.fitting.named_model import open_model

    loaded, out = open_model(model), file or model
    if not out.suffix:
        raise UsageError(f"{out}: no name for a model file", "name the one to write with -o")
    done = calibrate(loaded, data, prepared, accuracy, out, wild or ())
    details = done.details
    print(f"{out}")
    print(f"temperature {details.temperature}")
    print(f"min_confidence {details.min_confidence}")
    if done.bodies is not None:
        print(f"min_confidence_bodies {done.bodies}")
    title = f"{details.name} {details.version}, split test"
    Console(width=100).print(table(done.found, title))


def import_seed(
    old: Annotated[Path, typer.Argument(metavar="IN", help="An old model.pt.")],
    *,
    file: ModelOutput,
    debug: Debug = False,
) -> None:
    """Make a model file of the weights of the program that gdwatch replaces."""
    from train.export.import_seed import import_seed

    written = import_seed(old, file)
    print(f"{written.path} {written.sha256}")
