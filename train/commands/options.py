"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

# Every command takes it, and `cli.main` acts on it.
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

Photographs = Annotated[list[Path], typer.Argument(help="The photographs, as for `prepare`.")]
PreparedFolder = Annotated[Path, typer.Argument(metavar="DIR", help="What `prepare` wrote.")]
PreparedOption = Annotated[Path, typer.Option(metavar="DIR", help="What `prepare` made of them.")]
PreparedSplits = Annotated[
    Path, typer.Option(metavar="DIR", help="What `prepare` made of them: it holds the splits.")
]
ModelArgument = Annotated[
    Path, typer.Argument(help="A model file, or a shipped model: fast, accurate or whole.")
]
ModelOutput = Annotated[Path, typer.Option("-o", metavar="FILE", help="Model file to write.")]
RunOutput = Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run.")]
Split = Annotated[str, typer.Option(help="train, val or test.")]
MinAge = Annotated[int, typer.Option(help="Leave out who is known to be younger.")]
Weights = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Where published weights lie, too; may be repeated."),
]
JudgedClean = Annotated[
    bool | None,
    typer.Option(
        "--clean/--no-clean",
        help="Use what `audit --apply` has left, or all; else what the model learnt from.",
    ),
]
Clean = Annotated[bool, typer.Option("--clean", help="Use what `audit --apply` has left.")]
Json = Annotated[bool, typer.Option("--json", help="Everything, as JSON.")]
Accuracy = Annotated[
    float, typer.Option(min=0.5, max=1, help="Wanted of the pictures that are not unsure.")
]
LocatorOption = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="What `locate` wrote, or a model file; for recipes of faces."),
]
Closer = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="The locator of the second look, if it is another."),
]
DrawnBoxes = Annotated[
    Path | None, typer.Option("--boxes", metavar="FILE", help="CSV of boxes that people drew.")
]
