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
    file: Annotated[Path, typer.Option("-o", metavar="FILE", help="CSV of answers to write.")],
    weights: Weights = None,
    clean: Clean = False,
    debug: Debug = False,
) -> None:
    """Let public face networks teach: write answers for `fit --teacher`; a stopped one goes on."""
    from train.commands import inputs
    from train.data import prepared_set
    from train.data.sources import entries
    from train.detection import boxes
    from train.fitting import recipe as recipes
    from train.fitting import teacher as teachers
    from train.published import weights as published
    from train.teachers import embed
    from train.teachers.teach import teach

    wanted = recipes.read(recipe)
    files = (published.FEATURE, published.DLIB, published.GENDER)
    networks = embed.EmbeddingNetworks(*(published.find(each, weights or []) for each in files))
    with resumable():
        embedded = embed.embeddings(
            entries(data), prepared_set.load(prepared), boxes.read(faces), networks
        )
    taught = teach(inputs.open_prepared(prepared, clean=clean), embedded, wanted)
    teachers.write(taught.p_male, file)
    print(f"answers {len(taught.p_male)}")
    print(f"val balanced accuracy {taught.val_balanced_accuracy:.4f}")
