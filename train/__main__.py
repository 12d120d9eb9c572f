"""The command `gdtrain`: reads what was asked, shows what came out; the work is elsewhere."""

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdwatch.errors import GdwatchError

if TYPE_CHECKING:
    from gdwatch.inference.model import Model
    from gdwatch.values import Crop
    from train.data.prepared_set import Prepared

_TEACHERS = ("onnx", "onnxruntime")  # packages of the extra `teachers`

# Imported where they are used: torch takes seconds, and `--help` needs none of them.

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train the model that gdwatch runs: prepare pictures, fit, evaluate, export.",
)

# Every command takes it, and `main` acts on it.
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

Split = Annotated[str, typer.Option(help="train, val or test.")]
MinAge = Annotated[int, typer.Option(help="Leave out who is known to be younger.")]
Weights = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Where published weights lie, too; may be repeated."),
]
Clean = Annotated[bool, typer.Option("--clean", help="Use what `audit --apply` has left.")]


@app.command()
def prepare(
    data: Annotated[
        list[Path],
        typer.Argument(help="A manifest.csv, a tar, or a folder with one, or with female/ male/."),
    ],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    source: Annotated[
        list[str] | None, typer.Option(help="Only pictures of this source; may be repeated.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Decode labelled pictures once, as the service does, and split them."""
    from train.data.prepare import prepare
    from train.data.sources import SPLITS

    summary = prepare(data, out, source)
    for picture in summary.unreadable:
        print(f"gdtrain: {picture.path}: {picture.why}", file=sys.stderr)
    print(f"pictures {len(summary.rows)}")
    for split in SPLITS:
        print(f"{split} {sum(row.split == split for row in summary.rows)}")
    print(f"near-duplicates {summary.near_duplicates}")
    print(f"without a class {summary.without_class}")
    print(f"unreadable {len(summary.unreadable)}")


@app.command()
def audit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `prepare` wrote.")],
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write manifest.clean.csv, for `fit --clean`.")
    ] = False,
    min_age: Annotated[int, typer.Option(help="Doubt no label of who is younger.")] = 10,
    debug: Debug = False,
) -> None:
    """Find duplicates, swapped labels, and pictures that show nothing or no one can tell."""
    from train.audit import audit as audits
    from train.audit.page import PAGE, write
    from train.data.prepared_set import load

    prepared = load(folder)
    findings = audits.audit(prepared, min_age)
    write(prepared, findings)
    for trouble, count in audits.counts(findings).items():
        print(f"{trouble} {count}")
    print(f"{folder / audits.AUDIT}")
    print(f"{folder / PAGE}")
    if apply:
        print(f"excluded {audits.apply(prepared, findings)} of {len(prepared.rows)}")


@app.command()
def fit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `prepare` wrote.")],
    *,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run.")],
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
        typer.Option(metavar="FILE", help="Weights to begin with: dlib's, or a model file."),
    ] = None,
    clean: Clean = False,
    debug: Debug = False,
) -> None:
    """Train by a recipe; started again, it goes on after the last whole epoch."""
    from train import progress
    from train.fitting import distributed
    from train.fitting import recipe as recipes
    from train.fitting import teacher as teachers
    from train.fitting.fit import fit

    wanted = recipes.read(recipe)
    if pictures is not None:
        wanted = wanted.model_copy(update={"pictures": pictures})
    prepared = _prepared(folder, clean=clean, crop=wanted.crop)
    taught_by = teachers.read(teacher) if teacher else None
    tutored_by = _model(tutor) if tutor else None
    try:
        with distributed.joined() as we, progress.training(wanted) as bar:
            shown = bar if we.rank == 0 else progress.Silent()
            run = fit(prepared, wanted, out, shown, taught_by, we, start, tutored_by)
    except KeyboardInterrupt as error:
        raise GdwatchError(
            "stopped", "the same command goes on after the last whole epoch"
        ) from error
    if we.rank == 0:
        best = run.best_epoch
        print(f"best epoch {best.epoch}")
        print(f"val balanced accuracy {best.val_balanced_accuracy:.4f}")


@app.command()
def crop(
    data: Annotated[list[Path], typer.Argument(help="The photographs, as for `prepare`.")],
    *,
    prepared: Annotated[Path, typer.Option(metavar="DIR", help="What `prepare` made of them.")],
    locator: Annotated[
        Path, typer.Option(metavar="RUN", help="What `locate` wrote, or a model file with one.")
    ],
    debug: Debug = False,
) -> None:
    """Cut the face out of every prepared photograph, for recipes that learn from faces."""
    from train.data.sources import entries
    from train.detection import crop_faces
    from train.detection.train_locator import load

    finder, network = load(locator)
    print(f"faces {crop_faces.cut(entries(data), prepared, finder, network.input)}")


@app.command()
def locate(
    data: Annotated[list[Path], typer.Argument(help="The photographs, as for `prepare`.")],
    *,
    prepared: Annotated[
        Path, typer.Option(metavar="DIR", help="What `prepare` made of them: it holds the splits.")
    ],
    faces: Annotated[Path, typer.Option(metavar="FILE", help="CSV of faces, from a detector.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run.")],
    recipe: Annotated[str, typer.Option(help="locator, or a file.")] = "locator",
    workers: Annotated[int, typer.Option(min=0, help="Processes that compose scenes.")] = 1,
    debug: Debug = False,
) -> None:
    """Train the network that finds faces; started again, it goes on after the last epoch."""
    from train.data.prepared_set import split_of_path, splits
    from train.data.sources import entries
    from train.detection import boxes, train_locator

    listed, known = entries(data), splits(prepared)
    split = {entry.path: split_of_path(entry.path, known) for entry in listed}
    run = train_locator.fit(
        listed, split, boxes.read(faces), train_locator.read(recipe), out, workers
    )
    for epoch, loss, measured in run:
        print(f"epoch={epoch} loss={loss:.4f}", flush=True)
        for at in measured:
            print(
                f"  threshold={at.threshold} recall={at.recall['all']:.4f} "
                f"prominent={at.prominent['all']:.4f} false={at.false:.4f}",
                flush=True,
            )


@app.command()
def detect(
    data: Annotated[list[Path], typer.Argument(help="The photographs, as for `prepare`.")],
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
    with _going_on():
        print(f"faces on {detect(listed, file, detector)} of {len(listed)}")


@app.command()
def teach(
    data: Annotated[list[Path], typer.Argument(help="The photographs, as for `prepare`.")],
    *,
    prepared: Annotated[Path, typer.Option(metavar="DIR", help="What `prepare` made of them.")],
    faces: Annotated[Path, typer.Option(metavar="FILE", help="What `detect` wrote.")],
    recipe: Annotated[str, typer.Option(help="That will learn from the answers.")],
    file: Annotated[Path, typer.Option("-o", metavar="FILE", help="CSV of answers to write.")],
    weights: Weights = None,
    clean: Clean = False,
    debug: Debug = False,
) -> None:
    """Let public face networks teach: write answers for `fit --teacher`; a stopped one goes on."""
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
    networks = embed.Networks(*(published.find(each, weights or []) for each in files))
    with _going_on():
        embedded = embed.embeddings(
            entries(data), prepared_set.load(prepared), boxes.read(faces), networks
        )
    taught = teach(_prepared(prepared, clean=clean), embedded, wanted)
    teachers.write(taught.p_male, file)
    print(f"answers {len(taught.p_male)}")
    print(f"val balanced accuracy {taught.balanced:.4f}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model file.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `prepare` wrote.")],
    *,
    split: Split = "test",
    min_age: MinAge = 10,
    clean: Clean = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Measure a model file on pictures that it has not learnt from."""
    from rich.console import Console

    from train.evaluation.evaluate import evaluate, tables

    loaded = _model(model)
    prepared = _prepared(folder, clean=clean, crop=_crop(loaded))
    found = evaluate(loaded, prepared, split, min_age)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
        return
    for table in tables(found):
        Console().print(table)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="A model file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `prepare` wrote.")],
    *,
    split: Split = "test",
    min_age: MinAge = 10,
    clean: Clean = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Tell which of two models is better, and by McNemar's test whether it could be chance."""
    from rich.console import Console

    from train.evaluation.compare import compare, table

    one, other = _model(first), _model(second)
    prepared = [_prepared(folder, clean=clean, crop=_crop(each)) for each in (one, other)]
    found = compare((one, prepared[0]), (other, prepared[1]), split, min_age)
    if as_json:
        print(json.dumps({source: asdict(one) for source, one in found.items()}, indent=2))
    else:
        Console().print(table(found, first.stem, second.stem))


@app.command()
def report(
    model: Annotated[Path, typer.Argument(help="A model file.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `prepare` wrote.")],
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
    from train.evaluation.report import report

    loaded = _model(model)
    report(loaded, _prepared(folder, clean=clean, crop=_crop(loaded)), split, min_age, file)
    print(file)


@app.command(name="import-seed")
def import_seed(
    old: Annotated[Path, typer.Argument(metavar="IN", help="An old model.pt.")],
    *,
    file: Annotated[Path, typer.Option("-o", metavar="FILE", help="Model file to write.")],
    debug: Debug = False,
) -> None:
    """Make a model file of the weights of the program that gdwatch replaces."""
    from train.export.import_seed import import_seed

    written = import_seed(old, file)
    print(f"{written.path} {written.sha256}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="What `fit` wrote.")],
    *,
    file: Annotated[Path, typer.Option("-o", metavar="FILE", help="Model file to write.")],
    name: Annotated[str, typer.Option(help="Of the model.")] = "fast",
    version: Annotated[str, typer.Option(help="Of the model.")] = "0.1.0",
    accuracy: Annotated[
        float, typer.Option(min=0.5, max=1, help="Wanted of the pictures that are not unsure.")
    ] = 0.99,
    locator: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="What `locate` wrote, or a model file; for recipes of faces."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Calibrate the best epoch and write it as a model file, with MODEL_CARD.md beside it."""
    from train.export.export import export

    done = export(run, file, name, version, accuracy, locator)
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


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="What `export` wrote.")],
    data: Annotated[list[Path], typer.Argument(help="The photographs, as for `prepare`.")],
    *,
    prepared: Annotated[
        Path, typer.Option(metavar="DIR", help="What `prepare` made of them: it holds the splits.")
    ],
    file: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Model file to write, if another.")
    ] = None,
    accuracy: Annotated[
        float, typer.Option(min=0.5, max=1, help="Wanted of the pictures that are not unsure.")
    ] = 0.987,
    debug: Debug = False,
) -> None:
    """Set ranges, temperature and min_confidence by whole photographs, and measure a model."""
    from rich.console import Console

    from train.evaluation.photographs import table
    from train.export.calibrate import calibrate

    done = calibrate(_model(model), data, prepared, accuracy, file or model)
    details = done.details
    print(f"{file or model}")
    print(f"temperature {details.temperature}")
    print(f"min_confidence {details.min_confidence}")
    title = f"{details.name} {details.version}, split test"
    Console(width=100).print(table(done.found, title))


@app.command(name="all")
def train_all(
    data: Annotated[list[Path], typer.Argument(help="The photographs, as for `prepare`.")],
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of all that is made.")],
    weights: Weights = None,
    recipes: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With locator.toml, accurate.toml and fast.toml."),
    ] = None,
    version: Annotated[str, typer.Option(help="Of both models.")] = "0.1.0",
    debug: Debug = False,
) -> None:
    """Train both shipped models, from the photographs on; a stopped one goes on."""
    from typer.main import get_command

    from train.chain import run, steps

    def gdtrain(command: list[str]) -> None:
        get_command(app).main(command, prog_name="gdtrain", standalone_mode=False)

    with _going_on():
        run(steps(data, out, weights or [], recipes, version), gdtrain)


@contextmanager
def _going_on() -> Iterator[None]:
    """For work that is kept as it goes."""
    try:
        yield
    except (KeyboardInterrupt, typer.Abort) as error:
        raise GdwatchError("stopped", "the same command goes on") from error


def _prepared(folder: Path, *, clean: bool, crop: "Crop" = "whole") -> "Prepared":
    from train.data import prepared_set

    return prepared_set.load_clean(folder, crop) if clean else prepared_set.load(folder, crop)


def _crop(model: "Model") -> "Crop":
    """What of a photograph a model sees."""
    return "face" if model.details.locator else "whole"


def _model(path: Path) -> "Model":
    from gdwatch.inference import model, model_file

    return model.load(model_file.read(path))


def main() -> None:
    """Run the command; what a person can mend becomes one line and an exit status."""
    try:
        app(prog_name="gdtrain")
    except GdwatchError as error:
        _show(str(error))
        sys.exit(error.status)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("gdwatch", "train"):
            raise
        extra = "teachers" if (error.name or "").split(".")[0] in _TEACHERS else "train"
        _show(f"package {error.name} is not installed; pip install 'gdwatch[{extra}]'")
        sys.exit(1)


def _show(message: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    print(f"gdtrain: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
