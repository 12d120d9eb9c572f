"""The command line of `gdtrain`: its commands, and errors as exit statuses.

Each command imports what it needs when it is called: torch takes seconds, and `--help` needs none
of it.
"""

import sys
import traceback
from typing import Annotated

import typer

from gdwatch import __version__, utf8_mode
from gdwatch.errors import GdwatchError
from train.commands import (
    choosing,
    data,
    detection,
    evaluation,
    everything,
    export,
    fitting,
    teaching,
    tuning,
)

_TEACHERS = ("onnx", "onnxruntime")  # packages of the extra `teachers`

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _version(value: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if value:
        print(f"gdtrain {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which one.")
    ] = False,
) -> None:
    """Train the model that gdwatch runs: prepare pictures, fit, evaluate, export."""


# In the order of `--help`.
app.command()(tuning.tune)
app.command()(data.prepare)
app.command()(data.audit)
app.command()(fitting.fit)
app.command()(detection.crop)
app.command()(detection.locate)
app.command()(detection.detect)
app.command()(teaching.teach)
app.command()(evaluation.evaluate)
app.command()(evaluation.compare)
app.command()(evaluation.report)
app.command()(choosing.choose)
app.command(name="import-seed")(export.import_seed)
app.command()(export.export)
app.command()(export.fuse)
app.command()(export.calibrate)
app.command(name="all")(everything.train_all)


def main() -> None:
    """Run the command; what a person can mend becomes one line and an exit status."""
    utf8_mode.require()
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
