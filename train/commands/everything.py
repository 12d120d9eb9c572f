"""The command that runs all the others in their order."""

from pathlib import Path
from typing import Annotated

import typer

from train.commands.options import Debug, DrawnBoxes, Photographs, Weights
from train.commands.stopping import resumable


def train_all(
    context: typer.Context,
    data: Photographs,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of all that is made.")],
    weights: Weights = None,
    recipes: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With locator.toml, closer.toml, accurate.toml, surroundings.toml and fast.toml.",
        ),
    ] = None,
    drawn: DrawnBoxes = None,
    wild: Annotated[
        list[str] | None, typer.Option(help="A source that calibrates more; may be repeated.")
    ] = None,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="Begin nothing with the shipped models: faces with dlib's weights."
        ),
    ] = False,
    version: Annotated[str, typer.Option(help="Of both models.")] = "0.1.0",
    debug: Debug = False,
) -> None:
    """Train both shipped models, from the photographs on; a stopped one goes on."""
    from train.chain import Plan, run, steps
    from train.data.sources import entries, require_sources

    require_sources(wild or [], entries(data), data)  # or it would be noticed hours later
    plan = Plan(
        data=data,
        out=out,
        version=version,
        weights=weights or [],
        recipes=recipes,
        drawn=drawn,
        wild=wild or [],
        anew=anew,
    )
    program = context.find_root().command

    def gdtrain(command: list[str]) -> None:
        program.main(command, prog_name="gdtrain", standalone_mode=False)

    with resumable():
        run(steps(plan), gdtrain)
