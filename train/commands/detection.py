"""The commands that find faces, train the locator and cut the faces out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from train.commands.options import (
    Closer,
    Debug,
    DrawnBoxes,
    Photographs,
    PreparedOption,
    PreparedSplits,
    RunOutput,
    Weights,
)
from train.commands.stopping import resumable

if TYPE_CHECKING:
    from train.data.prepared_set import View


def detect(
    data: Photographs,
    *,
    file: Annotated[Path, typer.Option("-o", metavar="FILE", help="CSV of faces to write.")],
    weights: Weights = None,
    debug: Debug = False,
) -> None:
    """Find faces with CenterFace, for `locate` and `teach`; a stopped one goes on."""
    from train.data.sources import entries
    from train.detection.centerface import CenterFace, detect
    from train.published import weights as published

    detector = CenterFace(published.find(published.CENTERFACE, weights or []))
    listed = entries(data)
    with resumable():
        print(f"faces on {detect(listed, file, detector)} of {len(listed)}")


def locate(
    data: Photographs,
    *,
    prepared: PreparedSplits,
    faces: Annotated[Path, typer.Option(metavar="FILE", help="CSV of faces, from a detector.")],
    out: RunOutput,
    recipe: Annotated[str, typer.Option(help="locator, closer, or a file.")] = "locator",
    workers: Annotated[int, typer.Option(min=0, help="Processes that compose scenes.")] = 1,
    drawn: DrawnBoxes = None,
    start: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A locator, a model file or fast, to begin with."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Train the network that finds faces; started again, it goes on after the last epoch."""
    from train.data.prepared_set import split_of_path, splits
    from train.data.sources import entries
    from train.detection import boxes, locator_recipe, locator_run, train_locator

    listed, known = entries(data), splits(prepared)
    split = {entry.path: split_of_path(entry.path, known) for entry in listed}
    found = boxes.read(faces)
    if drawn is not None:
        found = boxes.merged(found, boxes.read_drawn(drawn))
    begin = locator_run.load(start)[0] if start else None
    run = train_locator.fit(
        listed, split, found, locator_recipe.read(recipe), out, workers=workers, begin=begin
    )
    for epoch, loss, measured in run:
        print(f"epoch={epoch} loss={loss:.4f}", flush=True)
        for at in measured:
            print(
                f"  threshold={at.threshold} recall={at.recall['all']:.4f} "
                f"prominent={at.prominent['all']:.4f} false={at.false:.4f}",
                flush=True,
            )


def crop(
    data: Photographs,
    *,
    prepared: PreparedOption,
    locator: Annotated[
        Path, typer.Option(metavar="RUN", help="What `locate` wrote, or a model file with one.")
    ],
    closer: Closer = None,
    upright: Annotated[
        bool, typer.Option("--upright", help="Cut the faces out turned upright, too.")
    ] = False,
    surroundings: Annotated[
        bool, typer.Option("--surroundings", help="Cut out what surrounds the faces, too.")
    ] = False,
    faces: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV of all faces, in place of what the locator finds."),
    ] = None,
    drawn: DrawnBoxes = None,
    teacher_faces: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of further faces that teach.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Cut the face out of every prepared photograph, for recipes that learn from faces."""
    from train.data.sources import entries
    from train.detection import boxes, crop_faces
    from train.detection.false_faces import Look
    from train.detection.locator_run import load_looks
    from train.detection.places import Known

    known = Known(
        faces=boxes.read(faces) if faces else None,
        drawn=boxes.read_drawn(drawn) if drawn else {},
        taught=boxes.read_taught(teacher_faces) if teacher_faces else {},
    )
    views: list[View] = ["face"]
    views += ["upright"] if upright else []
    views += ["surroundings"] if surroundings else []
    looks = [Look(found, network.input) for found, network in load_looks(locator, closer)]
    print(f"faces {crop_faces.cut(entries(data), prepared, looks, known, views)}")
