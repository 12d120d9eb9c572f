"""The commands that measure model files, compare them, and show what they get wrong."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from train.commands.options import (
    Debug,
    Json,
    JudgedClean,
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
    clean: JudgedClean = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a model file on pictures that it has not learnt from."""
    from rich.console import Console

    from train.evaluation.evaluate import evaluate, tables
    from train.evaluation.judged_set import described, open_judged
    from train.fitting.named_model import open_model

    loaded = open_model(model)
    prepared = open_judged(folder, [loaded.details], clean=clean)
    found = evaluate(loaded, prepared, split, min_age)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    print(f"split {split} of {described(prepared, loaded.details)}")
    for table in tables(found):
        Console().print(table)


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A model file, or fast, …")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    folder: PreparedFolder,
    *,
    split: Split = "test",
    min_age: MinAge = 10,
    clean: JudgedClean = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell which of two models is better, and by McNemar's test whether it could be chance."""
    from rich.console import Console

    from train.evaluation.compare import compare, table
    from train.evaluation.judged_set import open_judged
    from train.fitting.named_model import open_model

    one, other = open_model(first), open_model(second)
    prepared = open_judged(folder, [one.details, other.details], clean=clean)
    found = compare(one, other, prepared, split, min_age)
    if as_json:
        print(json.dumps({source: asdict(one) for source, one in found.items()}, indent=2))
    else:
        print(f"split {split} of {prepared.manifest.name}")
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
    clean: JudgedClean = None,
    debug: Debug = False,
) -> None:
    """Write one HTML page that shows how good a model is, and its worst mistakes."""
    from train.evaluation.judged_set import open_judged
    from train.evaluation.report import report
    from train.fitting.named_model import open_model

    loaded = open_model(model)
    prepared = open_judged(folder, [loaded.details], clean=clean)
    report(loaded, prepared, split, min_age, file)
    print(file)
