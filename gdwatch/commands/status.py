"""`gdwatch status`: what the service is doing, and whether it runs."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from rich.live import Live
from rich.text import Text

from gdwatch.commands.output import print_json
from gdwatch.errors import GdwatchError
from gdwatch.files import escaping
from gdwatch.intake.inbox import count_waiting
from gdwatch.ledger import queries
from gdwatch.ledger.opening import open_to_read
from gdwatch.root import lock, root_id
from gdwatch.root.folders import Folders
from gdwatch.root.status_file import Status, read
from gdwatch.settings import Settings
from gdwatch.values import OUTCOMES


def status(settings: Settings, *, watch: bool, json_: bool) -> None:
    """Print the status once, or every second. Raises GdwatchError."""
    if not watch:
        answer = look(settings)
        if json_:
            print_json(answer)
        else:
            print(*_lines(answer), sep="\n")
        return
    with Live(auto_refresh=False, screen=False) as live:
        for answer in _every_second(settings):
            live.update(Text("\n".join(_lines(answer)), no_wrap=True), refresh=True)


def _every_second(settings: Settings) -> Iterator[dict[str, Any]]:
    while True:
        yield look(settings)
        time.sleep(1)


def look(settings: Settings) -> dict[str, Any]:
    """Return the status as the JSON answer; the counts are None if the ledger cannot be read."""
    folders = Folders.of(settings)
    told = read(folders.state) or Status("stopped")
    state = told.state if lock.is_held(folders.state) else "stopped"
    try:
        uuid = root_id.read_id(folders)
        with closing(open_to_read(settings, uuid)) as ledger, ledger.reading() as connection:
            tally = queries.counts(connection, ledger.root_id)
    except GdwatchError:
        tally = {}
    return {
        "state": state,
        "reason": told.reason if state == "paused" else None,
        "since": told.since,
        "waiting": count_waiting(folders, settings),
        "filed": sum(tally[outcome] for outcome in OUTCOMES) if tally else None,
        "female": tally.get("female"),
        "male": tally.get("male"),
        "unsure": tally.get("unsure"),
        "rejected": tally.get("rejected"),
        "missing": tally.get("missing"),
        "skipped": told.skipped,
        "lines_dropped": told.lines_dropped,
        "model": told.model,
        "root": escaping.escape(folders.root),
    }


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the answer, one for each value that is known."""
    for name, value in answer.items():
        if name == "skipped":
            yield f"{name:<9} {len(value)}"
            yield from (f"{'':<9} {path}: {why}" for path, why in value.items())
        elif name == "lines_dropped":
            if value:
                yield f"{'log':<9} {value} lines could not be written and were dropped"
        elif value is not None:
            yield f"{name:<9} {value}"
