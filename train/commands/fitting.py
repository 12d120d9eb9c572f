"""The command that trains a classifier."""

from pathlib import Path
from typing import Annotated

import typer

from train.commands.options import Clean, Debug, PreparedFolder, RunOutput
from train.commands.stopping import resumable


def fit(
    folder: PreparedFolder,
    *,
    out: RunOutput,
    recipe: Annotated[str, typer.Option(help="A name from the package, or a file.")] = "default",
    pictures: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many at most, chosen by hash.")
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Model file, or CSV of path,p_male, that teaches."),
    ] = None,
    tutor: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Model file that sees each changed picture.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Weights to begin with: dlib's, MobileNetV2's, a model file, or fast, accurate.",
        ),
    ] = None,
    clean: Clean = False,
    debug: Debug = False,
) -> None:
    """Train by a recipe; started again, it goes on after the last whole epoch."""
    from train import progress
    from train.commands import inputs
    from train.fitting import distributed
    from train.fitting import recipe as recipes
    from train.fitting import teacher as teachers
    from train.fitting.fit import fit
    from train.fitting.named_model import open_model

    wanted = recipes.read(recipe)
    if pictures is not None:
        wanted = wanted.model_copy(update={"pictures": pictures})
    prepared = inputs.open_prepared(folder, clean=clean, crop=wanted.crop)
    taught_by = teachers.read(teacher) if teacher else None
    tutored_by = open_model(tutor) if tutor else None
    with (
        resumable("the same command goes on after the last whole epoch"),
        distributed.join_process_group() as processes,
        progress.training(wanted) as bar,
    ):
        shown = bar if processes.rank == 0 else progress.NoProgress()
        run = fit(prepared, wanted, out, shown, taught_by, processes, start, tutored_by)
    if processes.rank == 0:
        best = run.best_epoch
        print(f"best epoch {best.epoch}")
        print(f"val balanced accuracy {best.val_balanced_accuracy:.4f}")
