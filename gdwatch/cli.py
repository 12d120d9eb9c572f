"""The command line: verbs, arguments and options; `exit_status` turns errors into exit statuses.

Each verb imports what it needs when it is called: help, `status` and `show` start fast, without
torch.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from gdwatch import __version__, exit_status
from gdwatch.commands.options import Common, calling, command, loaded, settings_of
from gdwatch.errors import UsageError

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
db = typer.Typer(no_args_is_help=True, help="Look after the ledger.")
model = typer.Typer(no_args_is_help=True, help="Look at model files.")
app.add_typer(db, name="db")
app.add_typer(model, name="model")

One = Annotated[str, typer.Argument(metavar="ID|PATH", help="A row's id, or a path.")]
WithOutcome = Annotated[str | None, typer.Option("--outcome", help="All with this outcome.")]
WithReason = Annotated[str | None, typer.Option("--reason", help="All with this reason.")]
EngineName = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="`ray`: on a cluster, see docs/scale.md."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="Of the Ray cluster; without: here."),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def _version(value: bool) -> None:  # noqa: FBT001 - typer's callback signature
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


@command(app)
def run(
    common: Common,
    once: Annotated[bool, typer.Option("--once", help="File what is there now, and end.")] = False,
) -> None:
    """Watch the inbox, and file what people drop there."""
    from gdwatch.service import loop

    settings = loaded(common, serve=True).settings
    raise typer.Exit(loop.run(settings, once=once, call=calling(common)))


@command(app)
def init(
    common: Common,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="NAME", help="Whose members may drop and take away."),
    ] = None,
) -> None:
    """Make the folders before the first start, and let a group drop there."""
    from gdwatch.commands import init as verb

    verb.init(settings_of(common), group)


@command(app)
def classify(  # noqa: PLR0913 - a parameter for each option
    common: Common,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Files and folders; `-`: names from stdin.")
    ],
    format_: Annotated[
        Literal["table", "jsonl", "csv", "json"],
        typer.Option("--format", help="`json`: one object, path → answer."),
    ] = "table",
    output: Annotated[
        str | None,
        typer.Option(
            "-o", metavar="FILE", help="Write there, not to stdout; with Ray a folder or URL."
        ),
    ] = None,
    null: Annotated[bool, typer.Option("-0", help="Names on stdin end with NUL.")] = False,
    explain: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw there what was seen of each picture.")
    ] = None,
    engine: EngineName = "local",
    address: Address = None,
    part: Annotated[
        int, typer.Option(min=1, metavar="N", help="With Ray: pictures of one file of answers.")
    ] = 1000,
) -> None:
    """Answer for photographs; record and move nothing."""
    _require_engine(engine, address)
    if engine == "ray":
        from gdwatch.commands import cluster

        if explain is not None or format_ != "table":
            raise UsageError("--engine ray writes Parquet alone", "leave --format, --explain out")
        settings = settings_of(common)
        raise typer.Exit(cluster.classify(settings, tuple(paths), output, address, part))
    from gdwatch.commands import classify as verb
    from gdwatch.jobs import classify

    given, file = classify.Given(tuple(paths), null=null), Path(output) if output else None
    raise typer.Exit(verb.classify(settings_of(common), given, format_, file, explain))


def _require_engine(engine: str, address: str | None) -> None:
    if address is not None and engine != "ray":
        raise UsageError("--address is of a Ray cluster", "give --engine ray, too")


@command(app)
def reprocess(  # noqa: PLR0913 - a parameter for each option
    common: Common,
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER…", help="ROOT, an answer folder, or below one.")
    ],
    move: Annotated[bool, typer.Option("--move", help="File what changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Record nothing.")] = False,
    engine: EngineName = "local",
    address: Address = None,
    json: Json = False,
) -> None:
    """Judge filed photographs again with today's model and settings."""
    from gdwatch.commands import reprocess as verb
    from gdwatch.jobs.rejudge import RejudgeOptions

    if move and dry_run:
        raise UsageError("--move and --dry-run exclude each other", "give one of them")
    _require_engine(engine, address)
    settings, over = settings_of(common), None
    if engine == "ray":
        from gdwatch.commands import cluster

        over = cluster.over(settings, address)
    verb.reprocess(settings, folders, RejudgeOptions(move, dry_run), over, json_=json)


@command(app)
def requeue(
    common: Common,
    which: Annotated[
        list[str] | None, typer.Argument(metavar="ID|PATH…", help="A row's id, or a path.")
    ] = None,
    outcome: WithOutcome = None,
    reason: WithReason = None,
    json: Json = False,
) -> None:
    """Judge these again at once, and file what changed."""
    from gdwatch.commands import requeue as verb

    _require_names(outcome, reason)
    if not which and outcome is None and reason is None:
        raise UsageError("requeue: nothing named", "give ids, paths, --outcome or --reason")
    verb.requeue(settings_of(common), which or [], outcome, reason, json_=json)


@command(app)
def correct(  # noqa: PLR0913 - a parameter for each option
    common: Common,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="ID|PATH… female|male|neither|reject",
            help="Rows' ids, paths, folders; `-`: names from stdin. The verdict comes last.",
        ),
    ],
    outcome: WithOutcome = None,
    reason: WithReason = None,
    null: Annotated[bool, typer.Option("-0", help="Names on stdin end with NUL.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the correction back.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Record nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Broken files, too.")] = False,
) -> None:
    """Record a person's verdict on files, and move them."""
    from gdwatch.commands import correct as verb
    from gdwatch.jobs.verdicts import VerdictOptions

    names, verdict = verb.split(words, undo=undo)
    _require_names(outcome, reason)
    if not names and outcome is None and reason is None:
        raise UsageError("correct: nothing named", "give ids, paths, --outcome or --reason")
    settings, given = settings_of(common), verb.names_from(names, null=null)
    options = VerdictOptions(verdict, dry_run, force)
    raise typer.Exit(verb.correct(settings, given, outcome, reason, options))


@command(app)
def restore(
    common: Common,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="FOLDER|ID|PATH…", help="Which; without any, all that is filed."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Into this folder, not the inbox.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Record and move nothing.")] = False,
    json: Json = False,
) -> None:
    """Put files back under the paths under which they were dropped."""
    from gdwatch.commands import restore as verb

    settings = settings_of(common)
    raise typer.Exit(verb.restore(settings, names or [], to, dry_run=dry_run, json_=json))


@command(app)
def undo(
    common: Common,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Record nothing.")] = False,
    json: Json = False,
) -> None:
    """Take the last correct, requeue, reprocess --move or restore back."""
    from gdwatch.commands import undo as verb

    verb.undo(settings_of(common), dry_run=dry_run, json_=json)


@command(app)
def show(common: Common, which: One, json: Json = False) -> None:
    """Say where a file went, and why."""
    from gdwatch.commands import show as verb

    verb.show(settings_of(common), which, json_=json)


@command(app)
def status(
    common: Common,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="One line and an exit status for a monitor: 0 to 3.")
    ] = False,
    max_wait_s: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="With --check: how long a file may wait."),
    ] = 600,
    json: Json = False,
) -> None:
    """Say what the service is doing, and what it has done."""
    from gdwatch.commands import status as verb

    if watch and check:
        raise UsageError("--watch and --check exclude each other", "give one of them")
    if check:
        raise typer.Exit(verb.check(settings_of(common), max_wait_s, json_=json))
    verb.status(settings_of(common), watch=watch, json_=json)


@command(app)
def drift(
    common: Common,
    days: Annotated[
        int, typer.Option("--days", metavar="DAYS", min=1, help="How long the last span is.")
    ] = 7,
    before: Annotated[
        int, typer.Option("--before", metavar="DAYS", min=1, help="How long the one before is.")
    ] = 28,
    json: Json = False,
) -> None:
    """Say whether the last days' photographs are like those of the weeks before."""
    from gdwatch.commands import drift as verb

    verb.drift(settings_of(common), days, before, json_=json)


@command(app)
def ui(
    common: Common,
    port: Annotated[int | None, typer.Option("--port", help="As `--set ui_port=`.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="As `--set ui_host=`.")] = None,
) -> None:
    """Serve a page to look at decisions and to review the unsure."""
    from gdwatch.commands import ui as verb

    given = {"ui_port": port, "ui_host": host}
    more = tuple(f"{name}={value}" for name, value in given.items() if value is not None)
    verb.ui(loaded(replace(common, set=(*common.set, *more)), serve=True).settings)


@command(app)
def doctor(
    common: Common,
    bench: Annotated[
        bool, typer.Option("--bench", help="Measure what this machine will do, in 20 s.")
    ] = False,
    json: Json = False,
) -> None:
    """Try every condition of a healthy installation."""
    from gdwatch.commands import doctor as verb

    found = loaded(common)
    raise typer.Exit(verb.doctor(found, json_=json, bench=bench, call=calling(common)))


@command(app)
def export(
    common: Common,
    format_: Annotated[
        Literal["csv", "jsonl", "parquet"],
        typer.Option("--format", help="`parquet`: with the extra of that name."),
    ] = "csv",
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Recorded then or later: `2026-11-23`.")
    ] = None,
    outcome: WithOutcome = None,
    output: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Write there, not to stdout.")
    ] = None,
) -> None:
    """Write the rows of `current_results` for other programs, oldest first."""
    from gdwatch.commands import export as verb
    from gdwatch.ledger.view import Chosen

    _require_names(outcome, None)
    verb.export(settings_of(common), Chosen(verb.since(since), outcome), format_, output)


@command(db, "upgrade")
def db_upgrade(common: Common) -> None:
    """Bring the ledger to this program's version, after a snapshot."""
    from gdwatch.commands import db as verb

    verb.upgrade(settings_of(common))


@command(db, "current")
def db_current(common: Common) -> None:
    """Say which version the ledger has, and which this program writes."""
    from gdwatch.commands import db as verb

    verb.current(settings_of(common))


@command(db, "join")
def db_join(common: Common) -> None:
    """Let this root share the ledger of other roots."""
    from gdwatch.commands import db as verb

    verb.join(settings_of(common))


@command(db, "snapshot")
def db_snapshot(
    common: Common,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.", readable=False)],
) -> None:
    """Write a checked copy of the ledger, while the service may run."""
    from gdwatch.commands import db as verb

    verb.snapshot(settings_of(common), file)


@command(db, "prune")
def db_prune(
    common: Common,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DAYS", help="Last filed before: `365d`.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else only say what.")] = False,
) -> None:
    """Remove the rows of files that were filed long ago; the files stay."""
    from gdwatch.commands import db as verb

    verb.prune(settings_of(common), older_than, yes=yes)


@command(db, "check")
def db_check(
    common: Common,
    mark: Annotated[
        bool, typer.Option("--mark", help="Write down what is missing, back or moved.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Mark even if a whole folder is away.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare the ledger with the folders, and change nothing."""
    from gdwatch.commands import db as verb

    raise typer.Exit(verb.check(settings_of(common), mark=mark, force=force, json_=json))


@command(model, "show")
def model_show(
    common: Common,
    file: Annotated[str | None, typer.Argument(metavar="FILE")] = None,
    json: Json = False,
) -> None:
    """Name, version, SHA-256, measures, what it was trained on."""
    from gdwatch.commands import model as verb

    verb.show(file or settings_of(common).model, json_=json)


@command(model, "verify")
def model_verify(
    common: Common, file: Annotated[str | None, typer.Argument(metavar="FILE")] = None
) -> None:
    """Check a model file against its architecture, and run it once."""
    from gdwatch.commands import model as verb

    verb.verify(file or settings_of(common).model)


def _require_names(outcome: str | None, reason: str | None) -> None:
    """Raise UsageError, with the list of names, for an outcome or a reason that is none."""
    from gdwatch.values import OUTCOMES, REASONS

    for option, name, known in (("outcome", outcome, OUTCOMES), ("reason", reason, REASONS)):
        if name is not None and name not in known:
            raise UsageError(f"--{option} {name}: no such {option}", f"one of {', '.join(known)}")


def main() -> NoReturn:
    """Run one command and exit with its status; typer itself exits with 130 on Ctrl-C."""
    exit_status.run_and_exit(lambda: app(prog_name="gdwatch", standalone_mode=True))
