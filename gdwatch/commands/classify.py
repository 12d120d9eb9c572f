"""`gdwatch classify`: answers for files and folders, in the order given."""

import csv
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, TextIO

from gdwatch.commands.answers import progress
from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.files import escaping
from gdwatch.files.identity import identity_of
from gdwatch.pipeline import Pipeline, drain
from gdwatch.settings import Settings
from gdwatch.values import Decision, Drop, Judged, Opened

COLUMNS = (
    "path", "outcome", "reason", "label", "confidence", "p_male", "faces",
    "box_x", "box_y", "box_w", "box_h", "width", "height", "format", "model",
)  # fmt: skip
Format = Literal["table", "jsonl", "csv", "json"]
Answer = dict[str, Any]
Draw = Callable[[int, Judged], object]


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line names. null: names on standard input end with NUL."""

    paths: tuple[str, ...]
    null: bool


def classify(
    settings: Settings,
    given: Given,
    format_: Format,
    output: Path | None,
    explain: Path | None = None,
) -> int:
    """Write one answer for each photograph; returns 1 if an input could not be opened.

    explain: a folder for one panel of each picture.
    """
    unopened = 0
    draw = None if explain is None else _explainer(settings, explain)
    try:
        target = nullcontext(sys.stdout) if output is None else output.open("w", encoding="utf-8")
    except OSError as error:
        raise GdwatchError(f"{output}: {error.strerror}", "name another file with -o") from error
    with target as stream, progress(None) as seen:
        write = FORMATS[format_]
        judged = answers(settings, inputs(given, settings.ignore), draw)
        for answer in write(stream, _counted(judged, seen)):
            unopened += answer["reason"] == "unreadable"
    return 1 if unopened else 0


def _explainer(settings: Settings, folder: Path) -> Draw:
    try:
        from gdwatch.explain import Explainer
    except ImportError as error:
        raise ActionNeeded(
            f"--explain needs {error.name}", "install it with `pip install 'gdwatch[explain]'`"
        ) from error
    return Explainer(settings, folder).panel


def _counted(answers: Iterable[Answer], seen: Callable[[], None]) -> Iterator[Answer]:
    for answer in answers:
        seen()
        yield answer


# ------------------------------------------------------------------------- inputs


def inputs(given: Given, ignored: tuple[str, ...]) -> Iterator[bytes]:
    for path in given.paths:
        if path == "-":
            yield from _from_stdin(b"\0" if given.null else b"\n")
        elif os.path.isdir(path):  # noqa: PTH112 - any bytes, a NUL too, are a name here
            yield from files_below(os.fsencode(path), ignored)
        else:
            yield os.fsencode(path)


def _from_stdin(separator: bytes) -> Iterator[bytes]:
    rest = b""
    while chunk := os.read(sys.stdin.fileno(), 65536):
        *lines, rest = (rest + chunk).split(separator)
        yield from filter(None, lines)
    if rest:
        yield rest


def files_below(folder: bytes, ignored: tuple[str, ...]) -> Iterator[bytes]:
    """Regular files below a folder, sorted by name, in depth; links are not followed."""
    levels = [_entries(folder, ignored)]  # no recursion: folders may be a thousand levels deep
    while levels:
        match next(levels[-1], None):
            case None:
                levels.pop()
            case path, True:
                levels.append(_entries(path, ignored))
            case path, False:
                yield path


def _entries(folder: bytes, ignored: tuple[str, ...]) -> Iterator[tuple[bytes, bool]]:
    """What lies in one folder, sorted by name: paths, and whether each is a folder."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        yield folder, False  # its answer says why
        return
    for entry in entries:
        if any(fnmatch(os.fsdecode(entry.name), pattern) for pattern in ignored):
            continue
        path = folder.rstrip(b"/") + b"/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield path, True
        elif entry.is_file(follow_symlinks=False):
            yield path, False


def _open(path: bytes) -> Opened | str:
    """Open an input; else say why that was not possible."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a NUL in a name
        return str(error)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return "not a regular file"
    return Opened(Drop(path, identity_of(status), datetime.now(UTC)), descriptor)


# ------------------------------------------------------------------------- answers


def answers(settings: Settings, inputs: Iterator[bytes], draw: Draw | None) -> Iterator[Answer]:
    """One answer an input, in the order given, whatever the order of judging."""
    done: dict[int, Answer] = {}  # what came before its turn; bounded by the pipeline
    turn = 0
    for number, answer in _numbered(settings, inputs, draw):
        done[number] = answer
        while turn in done:
            yield done.pop(turn)
            turn += 1


def _numbered(
    settings: Settings, inputs: Iterator[bytes], draw: Draw | None
) -> Iterator[tuple[int, Answer]]:
    """One answer an input with its number, in the order of judging."""
    numbers: dict[int, int] = {}  # of inputs, by descriptor
    unopened: list[tuple[int, Answer]] = []
    with closing(Pipeline(settings)) as pipeline:
        model = f"{pipeline.model.name} {pipeline.model.version}"

        def opened() -> Iterator[Opened]:
            for number, path in enumerate(inputs):
                match _open(path):
                    case Opened() as file:
                        numbers[file.descriptor] = number
                        yield file
                    case why:
                        _complain(path, why)
                        refused = Decision("rejected", "unreadable")
                        unopened.append((number, _answer(path, refused, None, model)))

        for batch in drain(pipeline, opened()):
            for judged in batch.judged:
                number = numbers.pop(judged.opened.descriptor)
                if draw is not None:
                    draw(number, judged)
                os.close(judged.opened.descriptor)
                yield number, _answer(judged.opened.drop.path, judged.decision, judged, model)
            yield from unopened
            unopened.clear()
        yield from unopened


def _complain(path: bytes, why: str) -> None:
    print(f"gdwatch: {escaping.to_text(path)}: {why.lower()}", file=sys.stderr)


def _answer(path: bytes, decision: Decision, judged: Judged | None, model: str) -> Answer:
    header = judged.decoded.header if judged else None
    box = decision.box
    values = (
        escaping.to_text(path),
        decision.outcome,
        decision.reason,
        decision.label,
        decision.confidence,
        decision.p_male,
        decision.faces,
        box.x if box else None,
        box.y if box else None,
        box.width if box else None,
        box.height if box else None,
        header.width if header else None,
        header.height if header else None,
        header.format if header else None,
        model,
    )
    return dict(zip(COLUMNS, values, strict=True))


# ------------------------------------------------------------------------- formats


def _table(stream: TextIO, answers: Iterable[Answer]) -> Iterator[Answer]:
    stream.write(f"{'outcome':<9} {'p(male)':>7}  {'reason':<18} path\n")
    for answer in answers:
        p_male = "" if answer["p_male"] is None else f"{answer['p_male']:.3f}"
        stream.write(
            f"{answer['outcome']:<9} {p_male:>7}  {answer['reason'] or '':<18} {answer['path']}\n"
        )
        yield answer


def _jsonl(stream: TextIO, answers: Iterable[Answer]) -> Iterator[Answer]:
    for answer in answers:
        stream.write(json.dumps(answer, ensure_ascii=False) + "\n")
        yield answer


def _csv(stream: TextIO, answers: Iterable[Answer]) -> Iterator[Answer]:
    stream.write(",".join(COLUMNS) + "\n")
    # Every text in quotes: where spreadsheets part columns at semicolons, a name with one in it
    # would end its column, and a formula could follow.
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for answer in answers:
        writer.writerow(["" if value is None else _safe(value) for value in answer.values()])
        yield answer


def _safe(value: Any) -> Any:
    """A spreadsheet must not take a file's name for a formula."""
    return (
        f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
    )


def _json(stream: TextIO, answers: Iterable[Answer]) -> Iterator[Answer]:
    """The form of the old `process_results.json`: one object, path → answer."""
    separator = "{"
    for answer in answers:
        pair = f"{json.dumps(answer['path'], ensure_ascii=False)}: {json.dumps(answer['outcome'])}"
        stream.write(f"{separator}\n  {pair}")
        separator = ","
        yield answer
    stream.write("{}\n" if separator == "{" else "\n}\n")


FORMATS: dict[Format, Callable[[TextIO, Iterable[Answer]], Iterator[Answer]]] = {
    "table": _table,
    "jsonl": _jsonl,
    "csv": _csv,
    "json": _json,
}
