"""The command that lets published networks answer for the photographs."""

from pathlib import Path
from typing import Annotated

import typer

from train.commands.options import Clean, Debug, Photographs, PreparedOption, Weights
from train.commands.stopping import resumable


def teach(
    data: Photographs,
    *,
    prepared: PreparedOption,
    faces: Annotated[Path, typer.Option(metavar="FILE", help="What `detect` wrote.")],
    recipe: Annotated[str, typer.Option(help="That will learn from the answers.")],
    file: Annotated[
        Path,
        typer.Option("-o", metavar="FILE", help="CSV to write; FILE-faces.csv has all faces."),
    ],
    weights: Weights = None,
    clean: Clean = False,
    debug: Debug = False,
) -> None:
    """Let public networks teach: write answers for `fit --teacher`; a stopped one goes on."""
    from rich.console import Console

    from train.commands import inputs
    from train.data.sources import entries
    from train.detection import boxes
    from train.fitting import recipe as recipes
    from train.published import weights as published
    from train.teachers import answers
    from train.teachers.embed import PARTS, embed
    from train.teachers.measure import measure, table
    from train.teachers.networks import EmbeddingNetworks, Files
    from train.teachers.teach import teach

    wanted = recipes.read(recipe)
    labelled = inputs.open_prepared(prepared, clean=clean)
    networks = EmbeddingNetworks(
        Files(*(published.find(each, weights or []) for each in published.TEACHERS))
    )
    with resumable():
        embedded = embed(entries(data), boxes.read(faces), networks, prepared / PARTS)
    said = teach(labelled, embedded, wanted)
    photographs = answers.write(embedded, said.fused, file)
    Console(width=100).print(table(measure(labelled, embedded, said, wanted.min_age)))
    print(f"answers {photographs} {file}")
    print(f"faces {len(embedded.seen)} {answers.faces_file(file)}")
