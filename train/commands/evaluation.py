"""The commands that measure model files, compare them, and show what they get wrong."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from train.commands.options import (
    Clean,
    Debug,
    Json,
    MinAge,
    ModelArgument,
    PreparedFolder,
    Split,
)


def evaluate(
    model: ModelArgument,
    folder: PreparedFolder,
    *,
    split: Split = "test",
    min_age: MinAge = 10,
    clean: Clean = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a model file on pictures that it has not learnt from."""
    from rich.console import Console

    from train.commands import inputs
    from train.evaluation.evaluate import evaluate, tables

    loaded = inputs.open_model(model)
    prepared = inputs.open_prepared(folder, clean=clean)
    found = evaluate(loaded, prepared, split, min_age)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    for table in tables(found):
        Console().print(table)


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A model file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    folder: PreparedFolder,
    *,
    split: Split = "test",
    min_age: MinAge = 10,
    clean: Clean = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell which of two models is better, and by McNemar's test whether it could be chance."""
    from rich.console import Console

    from train.commands import inputs
    from train.evaluation.compare import compare, table

    one, other = inputs.open_model(first), inputs.open_model(second)
    prepared = inputs.open_prepared(folder, clean=clean)
    found = compare(one, other, prepared, split, min_age)
    if as_json:
        print(json.dumps({source: asdict(one) for source, one in found.items()}, indent=2))
    else:
        Console().print(table(found, first.stem, second.stem))


def report(
    model: ModelArgument,
    folder: PreparedFolder,
    *,
    file: Annotated[Path, typer.Option("-o", metavar="FILE", help="Page to write.")] = Path(
        "report.html"
    ),
    split: Split = "test",
    min_age: MinAge = 10,
    clean: Clean = False,
    debug: Debug = False,
) -> None:
    """Write one HTML page that shows how good a model is, and its worst mistakes."""
    from train.commands import inputs
    from train.evaluation.report import report

    prepared = inputs.open_prepared(folder, clean=clean)
    report(inputs.open_model(model), prepared, split, min_age, file)
    print(file)
