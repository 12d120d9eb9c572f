"""The command line: its words, and the one place where an error becomes an exit status.

What a verb needs is imported when it is called: help, `status` and `show` need no torch, and take
no time.
"""

import errno
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from gdwatch import __version__
from gdwatch.errors import GdwatchError, UsageError

if TYPE_CHECKING:
    from gdwatch.settings import Loaded, Settings

Verb = Callable[..., None]

_EPIPE_STATUS = 1
_DISK_ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Common:
    """What every command takes."""

    config: Path | None
    root: Path | None
    set: tuple[str, ...]


def _command(group: typer.Typer, name: str | None = None) -> Callable[[Verb], Verb]:
    """Register a verb, whose first parameter is `Common`, with the options that make it."""

    def register(verb: Verb) -> Verb:
        @functools.wraps(verb)
        def called(**given: Any) -> None:
            given.pop("debug")
            common = Common(given.pop("config"), given.pop("root"), tuple(given.pop("set_") or ()))
            verb(common, **given)

        own = list(inspect.signature(verb).parameters.values())[1:]
        called.__signature__ = inspect.Signature([*own, *_COMMON])  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in (*own, *_COMMON)}
        group.command(name)(called)
        return verb

    return register


def _common(name: str, type_: Any, default: Any, flag: str, **words: Any) -> inspect.Parameter:
    # Whether a path can be read is for whoever opens it to say, in words and with a status of ours.
    option = typer.Option(flag, rich_help_panel="Every command", readable=False, **words)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[type_, option]
    )


_COMMON = (
    _common("config", Path | None, None, "--config", metavar="FILE", help="Settings file."),
    _common("root", Path | None, None, "--root", metavar="DIR", help="Folder of all the others."),
    _common("set_", list[str] | None, None, "--set", metavar="NAME=VALUE",
            help="One setting; again and again."),
    _common("debug", bool, None, "--debug", help="Show where an error comes from."),
)  # fmt: skip

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
db = typer.Typer(no_args_is_help=True, help="Look after the ledger.")
model = typer.Typer(no_args_is_help=True, help="Look at model files.")
app.add_typer(db, name="db")
app.add_typer(model, name="model")

One = Annotated[str, typer.Argument(metavar="ID|PATH", help="A row's id, or a path.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def _version(value: bool) -> None:  # noqa: FBT001 - typer's form of a callback
    if value:
        print(f"gdwatch {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which one.")
    ] = False,
) -> None:
    """Sort photographs of faces into female/ and male/, every decision in a SQL database."""


@_command(app)
def run(
    common: Common,
    once: Annotated[bool, typer.Option("--once", help="File what is there now, and end.")] = False,
) -> None:
    """Watch the inbox, and file what people drop there."""
    from gdwatch.service import loop

    raise typer.Exit(loop.run(_loaded(common, serve=True).settings, once=once))


@_command(app)
def classify(
    common: Common,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Files and folders; `-`: names from stdin.")
    ],
    format_: Annotated[
        Literal["table", "jsonl", "csv", "json"],
        typer.Option("--format", help="`json`: one object, path → answer."),
    ] = "table",
    output: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Write there, not to stdout.")
    ] = None,
    null: Annotated[bool, typer.Option("-0", help="Names on stdin end with NUL.")] = False,
    explain: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw there what was seen of each picture.")
    ] = None,
) -> None:
    """Answer for photographs; record and move nothing."""
    from gdwatch.commands import classify as command
    from gdwatch.jobs import classify

    given = classify.Given(tuple(paths), null=null)
    raise typer.Exit(command.classify(_settings(common), given, format_, output, explain))


@_command(app)
def reprocess(
    common: Common,
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER…", help="ROOT, an answer folder, or below one.")
    ],
    move: Annotated[bool, typer.Option("--move", help="File what changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Record nothing.")] = False,
    json: Json = False,
) -> None:
    """Judge filed photographs again with today's model and settings."""
    from gdwatch.commands import reprocess as command

    if move and dry_run:
        raise UsageError("--move and --dry-run exclude each other", "give one of them")
    command.reprocess(_settings(common), folders, move=move, dry_run=dry_run, json_=json)


@_command(app)
def requeue(
    common: Common,
    which: Annotated[
        list[str] | None, typer.Argument(metavar="ID|PATH…", help="A row's id, or a path.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="All with this outcome.")] = None,
    reason: Annotated[str | None, typer.Option(help="All with this reason.")] = None,
    json: Json = False,
) -> None:
    """Judge these again at once, and file what changed."""
    from gdwatch.commands import requeue as command

    if not which and outcome is None and reason is None:
        raise UsageError("requeue: nothing named", "give ids, paths, --outcome or --reason")
    command.requeue(_settings(common), which or [], outcome, reason, json_=json)


@_command(app)
def correct(
    common: Common,
    which: One,
    label: Annotated[
        Literal["female", "male"] | None, typer.Argument(metavar="female|male")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the correction back.")] = False,
) -> None:
    """Record a person's word, and move the file."""
    from gdwatch.commands import correct as command

    if undo == (label is not None):
        raise UsageError("correct: say female or male, or --undo", "one of them")
    command.correct(_settings(common), which, None if undo else label)


@_command(app)
def show(common: Common, which: One, json: Json = False) -> None:
    """Say where a file went, and why."""
    from gdwatch.commands import show as command

    command.show(_settings(common), which, json_=json)


@_command(app)
def status(
    common: Common,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second.")] = False,
    json: Json = False,
) -> None:
    """Say what the service is doing, and what it has done."""
    from gdwatch.commands import status as command

    command.status(_settings(common), watch=watch, json_=json)


@_command(app)
def doctor(
    common: Common,
    bench: Annotated[
        bool, typer.Option("--bench", help="Measure what this machine will do, in 20 s.")
    ] = False,
    json: Json = False,
) -> None:
    """Try every condition of a healthy installation."""
    from gdwatch.commands import doctor as command

    raise typer.Exit(command.doctor(_loaded(common), json_=json, bench=bench))


@_command(db, "upgrade")
def db_upgrade(common: Common) -> None:
    """Bring the ledger to this program's version, after a snapshot."""
    from gdwatch.commands import db as command

    command.upgrade(_settings(common))


@_command(db, "current")
def db_current(common: Common) -> None:
    """Say which version the ledger has, and which this program writes."""
    from gdwatch.commands import db as command

    command.current(_settings(common))


@_command(db, "check")
def db_check(common: Common, json: Json = False) -> None:
    """Compare the ledger with the folders."""
    from gdwatch.commands import db as command

    raise typer.Exit(command.check(_settings(common), json_=json))


@_command(model, "show")
def model_show(
    common: Common,
    file: Annotated[str | None, typer.Argument(metavar="FILE")] = None,
    json: Json = False,
) -> None:
    """Name, version, SHA-256, measures, what it was trained on."""
    from gdwatch.commands import model as command

    command.show(file or _settings(common).model, json_=json)


@_command(model, "verify")
def model_verify(
    common: Common, file: Annotated[str | None, typer.Argument(metavar="FILE")] = None
) -> None:
    """Check a model file against its architecture, and run it once."""
    from gdwatch.commands import model as command

    command.verify(file or _settings(common).model)


def _loaded(common: Common, *, serve: bool = False) -> "Loaded":
    from gdwatch import log, settings

    given: dict[str, str] = {}
    for pair in common.set:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: no value", "write --set NAME=VALUE")
        given[name] = value
    if common.root is not None:
        given["root"] = str(common.root)
    loaded = settings.load(given, common.config)
    # A command's answer is its log; only what went wrong is worth a line beside it.
    level = loaded.settings.log_level if serve else "warning"
    log.set_up(level, loaded.settings.log_format)
    return loaded


def _settings(common: Common) -> "Settings":
    return _loaded(common).settings


def main() -> NoReturn:
    """Run one command and end with its exit status; typer itself ends one with 130 at Ctrl-C."""
    debug = "--debug" in sys.argv
    try:
        app(prog_name="gdwatch", standalone_mode=True)
    except GdwatchError as error:
        if debug:
            traceback.print_exc()
        print(f"gdwatch: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.status)
    except BrokenPipeError:
        # The reader of our answers has gone; that is its good right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(_EPIPE_STATUS)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS and not debug:
            where = f"{error.filename}: " if error.filename else ""
            print(f"gdwatch: {where}{(error.strerror or '').lower()}; look after the disk, and "  # noqa: T201
                  "start again: work goes on where it was", file=sys.stderr)  # fmt: skip
        else:
            # A bug, or a fault that nobody foresaw: the traceback is for the report.
            traceback.print_exc()
        sys.exit(1)
    sys.exit(0)
