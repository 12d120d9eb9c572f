"""How answers reach standard output, and progress standard error, alike for every verb."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from gdwatch.files import escaping
from gdwatch.jobs.classify import COLUMNS, Answer

Format = Literal["table", "jsonl", "csv", "json"]


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
        writer.writerow(
            ["" if value is None else spreadsheet_safe(value) for value in answer.values()]
        )
        yield answer


def spreadsheet_safe(value: Any) -> Any:
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


def print_json(answer: Any) -> None:
    """One JSON object or list; times as ISO 8601."""
    json.dump(answer, sys.stdout, default=_plain, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _plain(value: object) -> str:
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def complain(path: bytes, why: str) -> None:
    """Name on standard error what could not be dealt with, while the others are."""
    print(f"gdwatch: {escaping.escape(path)}: {why.lower()}", file=sys.stderr)


def counted(seen: Callable[[], None]) -> Callable[[bytes, str | None], None]:
    """What to call for each file that is done with: one that failed is named, too."""

    def done(path: bytes, why: str | None) -> None:
        if why is not None:
            complain(path, why)
        seen()

    return done


class Bar:
    """A progress bar on standard error; where that is no terminal, it is not shown.

    stream: where to write answers meanwhile: standard output, or above the bar if both are shown on
    a terminal.
    """

    def __init__(self, bar: Progress, total: int | None, console: Console) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total, rate="")
        both_shown = console.is_terminal and sys.stdout.isatty()
        self.stream: TextIO = _Above(console) if both_shown else sys.stdout

    def seen(self, count: int = 1) -> None:
        """Count more photographs."""
        self._bar.advance(self._task, count)
        task = self._bar.tasks[0]
        # Of the whole run: a batch comes at one stroke, which says nothing of the speed.
        if task.elapsed:
            self._bar.update(self._task, rate=f"{task.completed / task.elapsed:.1f}/s")


class _Above(io.TextIOBase, TextIO):
    """Writes whole lines above a progress bar, neither wrapped nor cut."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._console.out(line, highlight=False)
        return len(text)


def shows_progress() -> bool:
    """Whether a bar would be shown, so that to know the total is worth the time."""
    return sys.stderr.isatty()


@contextmanager
def progress(total: int | None) -> Iterator[Bar]:
    """A bar with total, rate and time left on standard error, on a terminal only.

    total: None if it is not known.
    """
    console = Console(stderr=True)
    columns: list[ProgressColumn] = [
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    ]
    if total is not None:
        columns += [TimeRemainingColumn(), TextColumn("left")]
    bar = Progress(
        *columns,
        console=console,
        disable=not shows_progress(),
        transient=True,
        # Answers go to standard output, wherever that leads, not to this console.
        redirect_stdout=False,
    )
    with bar:
        yield Bar(bar, total, console)
