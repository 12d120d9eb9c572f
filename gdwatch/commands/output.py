"""How answers reach standard output, and progress standard error, alike for every verb."""

import csv
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


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[], None]]:
    """A bar with rate and time left on standard error, on a terminal only.

    Gives the function to call for each photograph.
    """
    bar = Progress(
        TextColumn("{task.completed}" if total is None else ""),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total, rate="")

        def advance() -> None:
            bar.advance(task)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:.0f}/s" if speed else "")

        yield advance
