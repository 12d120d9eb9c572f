"""`gdwatch show`: where a file went, and why."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from gdwatch.commands.output import print_json
from gdwatch.errors import GdwatchError
from gdwatch.files import content, escaping
from gdwatch.filing import found_files
from gdwatch.jobs import story
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.opening import open_ledger, open_to_read
from gdwatch.ledger.rows import Row
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

_MOST = 100  # rows with the same bytes that are listed


def show(settings: Settings, which: str, *, json_: bool) -> None:
    """Print a file's row and its story: every decision, move and word on it.

    which: an id, a path of now or of the drop, an old name, or any file with the same bytes. Where
    several rows are meant, they are listed.

    Raises GdwatchError.
    """
    folders = Folders.of(settings)
    with closing(open_to_read(settings, root_id.read_id(folders))) as ledger:
        rows = _rows(ledger, which)
        if len(rows) == 1 and _note_if_back(rows[0], folders, settings):
            rows = _rows(ledger, str(rows[0].id))
        if len(rows) != 1:
            _list(ledger, rows, json_=json_)
            return
        answer = _answer(ledger, rows[0])
    if json_:
        print_json(answer)
    else:
        print(*_lines(answer), sep="\n")


def _rows(ledger: Ledger, which: str) -> Sequence[Row]:
    """Return the rows that are meant, by the first way of looking that finds any."""
    with ledger.reading() as connection:
        try:
            return [queries.find(ledger, connection, which)]
        except GdwatchError:
            rows: Sequence[Row] = []
            if "/" not in which:
                rows = queries.named(ledger, connection, escaping.escape(os.fsencode(which)))
            if not rows and Path(which).is_file():
                rows = ledger.transaction(connection).newest_with(_digest(which), _MOST)
            if not rows:
                raise
            return rows


def _digest(which: str) -> str:
    try:
        with Path(which).open("rb") as file:
            return content.digest(file.fileno())
    except OSError as error:
        raise GdwatchError(f"{which}: {(error.strerror or str(error)).lower()}") from error


def _note_if_back(row: Row, folders: Folders, settings: Settings) -> bool:
    """Note it if a missing file is back, as far as this user may write to the ledger."""
    if row.state != "missing" or not Path(os.fsdecode(row.path)).is_file():
        return False
    with contextlib.suppress(GdwatchError):
        root_id.require_own(folders)
        with closing(open_ledger(settings, root_id.read_id(folders))) as ledger:
            return bool(found_files.settle(ledger, folders, settings, [row.path]))
    return False


def _list(ledger: Ledger, rows: Sequence[Row], *, json_: bool) -> None:
    listed = [{"id": row.id, "path": ledger.text(row.path), "state": row.state} for row in rows]
    if json_:
        print_json({"candidates": listed})
        return
    for each in listed:
        print(f"{each['id']} {each['path']} {each['state']}")


def _answer(ledger: Ledger, row: Row) -> dict[str, Any]:
    with ledger.reading() as connection:
        results = [dict(result) for result in queries.all_results(connection, row.id)]
        corrections = [dict(each) for each in queries.all_corrections(connection, row.id)]
        moves = [dict(each) for each in queries.all_moves(connection, row.id)]
        result = queries.current_result(connection, row)
        current = {} if result is None else dict(result)
    return {
        **_plain(ledger, row),
        **{name: current.get(name) for name in ("label", "confidence", "faces", "min_confidence")},
        "results": results,
        "moves": moves,
        "corrections": corrections,
    }


def _plain(ledger: Ledger, row: Row) -> dict[str, Any]:
    values = asdict(row)
    if row.is_restored:
        values["state"] = "restored"
    for name in ("path", "source", "original", "restored_to"):
        if values[name] is not None:
            values[name] = escaping.relative_text(values[name], ledger.root)
    return values


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    for name, value in answer.items():
        if not isinstance(value, list) and value is not None:
            yield f"{name:<14} {_shown(value)}"
    for event in story.told(answer["results"], answer["corrections"], answer["moves"]):
        yield f"{_shown(event.at)}  {event.kind:<11} {event.words}"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
