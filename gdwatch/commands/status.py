"""`gdwatch status`: what the service is doing, whether it runs, and whether that is well."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, timedelta
from functools import partial
from typing import Any

from rich.live import Live
from rich.text import Text

from gdwatch.commands.drift import differing
from gdwatch.commands.output import print_json
from gdwatch.errors import GdwatchError
from gdwatch.files import escaping
from gdwatch.intake.backlog import PATIENCE_S, Backlog, Waiting, backlog
from gdwatch.intake.opening import is_being_written
from gdwatch.jobs.health import Level, problems, why_it_waits
from gdwatch.ledger import originals, queries
from gdwatch.ledger.opening import open_to_read
from gdwatch.ledger.transaction import now
from gdwatch.root import lock, root_id
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.root.status_file import Status, read
from gdwatch.settings import MIB, Settings
from gdwatch.values import OUTCOMES

_LATELY = timedelta(minutes=1)
_EMPTY = "of the inbox's folders; those inside others are removed after an hour, the others stay"


def status(settings: Settings, *, watch: bool, json_: bool) -> None:
    """Print the status once, or every second: as JSON one line each time. Raises GdwatchError."""
    if not watch:
        answer = look(settings) | {"drift": differing(settings)}
        if json_:
            print_json(answer)
        else:
            print(*_lines(answer), sep="\n")
    elif json_ or not sys.stdout.isatty():
        for answer in _every_second(settings):
            text = json.dumps(answer, ensure_ascii=False) if json_ else _text(answer) + "\n"
            print(text, flush=True)
    else:
        with Live(auto_refresh=False, screen=False) as live:
            for answer in _every_second(settings):
                live.update(Text(_text(answer), no_wrap=True), refresh=True)


def check(settings: Settings, max_wait_s: float, *, json_: bool) -> int:
    """Print one line for a monitor; return `Level`, the exit status that monitors expect."""
    try:
        answer = look(settings)
    except GdwatchError as error:
        level, text, found = Level.UNKNOWN, str(error), []
        answer = {}
    else:
        found = sorted(problems(answer, max_wait_s, settings.min_free_mb), key=lambda e: -e.level)
        level = max((each.level for each in found), default=Level.OK)
        text = (
            "; ".join(each.text for each in found) or f"{answer['state']} since {answer['since']}"
        )
    if json_:
        named = [{"level": e.level.name.lower(), "name": e.name, "text": e.text} for e in found]
        print_json({**answer, "check": level.name.lower(), "why": text, "problems": named})
    else:
        print(f"gdwatch {level.name}: {text}{_performance(answer)}")
    return level


def _performance(answer: dict[str, Any]) -> str:
    """The figures, as monitors draw them: `| waiting=3 oldest=12s`."""
    figures = {"waiting": ("waiting", ""), "oldest_waiting_s": ("oldest", "s"),
               "filed": ("filed", "c"), "filed_per_minute": ("per_minute", ""),
               "free_mb": ("free", "MB")}  # fmt: skip
    known = [
        f"{name}={answer[key]}{unit}"
        for key, (name, unit) in figures.items()
        if answer.get(key) is not None
    ]
    return f" | {' '.join(known)}" if known else ""


def _every_second(settings: Settings) -> Iterator[dict[str, Any]]:
    while True:
        yield look(settings)
        time.sleep(1)


def look(settings: Settings) -> dict[str, Any]:
    """Return the status as the JSON answer; the counts are None if the ledger cannot be read.

    Raises GdwatchError where there is no root.
    """
    folders = Folders.of(settings)
    is_held = lock.is_held(folders.state)
    told = read(folders.state)
    if told is None:
        root_id.read_id(folders)  # it has served once, else this is no root
        told = Status("stopped")
    state = told.state if is_held else "stopped"
    reason = told.reason if state == "paused" else None
    waiting = _backlog(folders, settings, set(map(escaping.unescape, told.skipped)))
    oldest = waiting.oldest if waiting else ()
    return {
        "state": state,
        "reason": reason,
        "since": told.since,
        "waiting": waiting.files if waiting else None,
        "waiting_is_complete": waiting.is_complete if waiting else None,
        "originals": waiting.originals if waiting else None,
        "oldest_waiting_s": round(waiting.oldest_s) if waiting else None,
        "waiting_files": _why(folders, settings, oldest, state, reason),
        **_filed(folders, settings),
        "skipped": told.skipped,
        "empty_folders": waiting.empty_folders if waiting else None,
        "free_mb": _free_mb(folders),
        "lines_dropped": told.lines_dropped,
        "unwatched_folders": told.unwatched if is_held else 0,
        "watch_remedy": told.watch_remedy if is_held else "",
        "model": told.model,
        "root": escaping.escape(folders.root),
    }


def _backlog(folders: Folders, settings: Settings, skipped: set[bytes]) -> Backlog | None:
    """The files that wait; all that are there, if the ledger cannot say which are to stay."""
    try:
        with closing(open_to_read(settings, root_id.read_id(folders))) as ledger:
            known = partial(originals.unchanged, ledger)
            return backlog(folders, settings, skipped, known, PATIENCE_S)
    except GdwatchError:
        return backlog(folders, settings, skipped, patience_s=PATIENCE_S)


def _why(
    folders: Folders,
    settings: Settings,
    oldest: tuple[Waiting, ...],
    state: str,
    reason: str | None,
) -> list[dict[str, Any]]:
    """Why the files that have waited longest are still in the inbox."""
    found = []
    with Handles(folders) as handles:
        for each in oldest:
            is_written = partial(is_being_written, each.path, handles)
            why = why_it_waits(state, reason, each, settings.settle_ms / 1000, is_written)
            path = escaping.relative_text(each.path, folders.root)
            found.append({"path": path, "waits_s": round(each.waits_s), "why": why})
    return found


def _filed(folders: Folders, settings: Settings) -> dict[str, Any]:
    """What the ledger says of the files; None in each place if it cannot be read."""
    names = (*OUTCOMES, "missing", "restored")
    try:
        uuid = root_id.read_id(folders)
        with closing(open_to_read(settings, uuid)) as ledger, ledger.reading() as connection:
            tally = queries.counts(connection, ledger.root_id)
            pace = queries.pace(connection, ledger.root_id, now() - _LATELY)
    except GdwatchError:
        return dict.fromkeys(("filed", *names, "filed_per_minute", "last_filed"))
    last = pace.last.replace(tzinfo=UTC).isoformat(timespec="seconds") if pace.last else None
    return {
        "filed": sum(tally[outcome] for outcome in OUTCOMES),
        **{name: tally[name] for name in names},
        "filed_per_minute": pace.files,
        "last_filed": last,
    }


def _free_mb(folders: Folders) -> int | None:
    try:
        return shutil.disk_usage(folders.root).free // MIB
    except OSError:
        return None


def _text(answer: dict[str, Any]) -> str:
    return "\n".join(_lines(answer))


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the answer, one for each value that is known."""
    since = f" since {answer['since']}" + (f": {answer['reason']}" if answer["reason"] else "")
    yield _line("state", answer["state"] + since)
    if answer["waiting"] is not None:
        yield from _waiting_lines(answer)
    if answer["filed"] is not None:
        outcomes = ", ".join(f"{answer[outcome]} {outcome}" for outcome in OUTCOMES)
        yield _line("filed", f"{answer['filed']}: {outcomes}")
        if answer["missing"]:
            yield _line("missing", f"{answer['missing']}, which were taken away")
        if answer["restored"]:
            yield _line("restored", f"{answer['restored']}, which were put back")
        yield _line("rate", f"{answer['filed_per_minute']} in the last minute")
        yield _line("last", answer["last_filed"] or "none so far")
    yield from _drift_lines(answer.get("drift") or [])
    yield _line("skipped", str(len(answer["skipped"])))
    yield from (_line("", f"{path}: {why}") for path, why in answer["skipped"].items())
    yield from _ailing_lines(answer)
    for name in ("model", "root"):
        if answer[name] is not None:
            yield _line(name, answer[name])


def _drift_lines(differing: list[str]) -> Iterator[str]:
    if differing:
        names = ", ".join(differing)
        yield _line("drift", f"{names}: not as in the weeks before, see `gdwatch drift`")


def _ailing_lines(answer: dict[str, Any]) -> Iterator[str]:
    if answer["lines_dropped"]:
        yield _line("log", f"{answer['lines_dropped']} lines could not be written and were dropped")
    if answer["unwatched_folders"]:
        beyond = f"{answer['unwatched_folders']} folders are beyond the kernel's limit"
        yield _line("watch", f"{beyond}, and are listed instead")
        yield _line("", f"$ {answer['watch_remedy']}")


def _waiting_lines(answer: dict[str, Any]) -> Iterator[str]:
    oldest = f", the oldest for {answer['oldest_waiting_s']} s" if answer["waiting"] else ""
    least = "" if answer["waiting_is_complete"] else "at least "
    yield _line("waiting", f"{least}{answer['waiting']}{oldest}")
    for each in answer["waiting_files"]:
        yield _line("", f"{each['path']}: {each['why']}")
    if answer["originals"]:
        yield _line("originals", f"{answer['originals']} stay in the inbox until they change")
    if answer["empty_folders"]:
        yield _line("empty", f"{answer['empty_folders']} {_EMPTY}")


def _line(name: str, text: str) -> str:
    return f"{name:<9} {text}".rstrip()
