"""`gdwatch reprocess`: judge filed photographs again, folder by folder."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gdwatch.commands.asked import asked
from gdwatch.commands.output import complain, counted, print_json, progress
from gdwatch.files.walk import Unlisted, files_below
from gdwatch.filing import move_requests
from gdwatch.jobs.named_files import answer_folders
from gdwatch.jobs.rejudge import RejudgeOptions, Rejudging, Tally
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.opening import open_ledger
from gdwatch.root import lock, root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

Over = Callable[[Rejudging, Iterator[bytes]], Iterator[Tally]]  # as `Rejudging.over`


def reprocess(
    settings: Settings,
    given: list[Path],
    options: RejudgeOptions,
    over: Over | None = None,
    *,
    json_: bool,
) -> None:
    """Judge the files below these folders again, and print what changed.

    given: ROOT, answer folders, or folders below one. over: what has them judged,
    None: a pipeline here. Raises GdwatchError.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    command = None if options.dry_run else asked("reprocess")
    ledger = open_ledger(settings, root_id.read_id(folders), command)
    chosen = _outermost(folder for path in given for folder in answer_folders(path, folders))
    with contextlib.ExitStack() as held, contextlib.closing(ledger):
        for folder in chosen:
            held.enter_context(lock.hold_folder(Path(os.fsdecode(folder))))
        total = sum(isinstance(each, bytes) for each in _below(chosen, settings.ignore))
        with progress(total) as bar:
            rejudging = Rejudging(ledger, folders, settings, options, counted(bar.seen))
            paths = _files(_below(chosen, settings.ignore))
            tallies = (over or Rejudging.over)(rejudging, paths)
            waiting = follow(rejudging, tallies, ledger, folders, settings)
    report(rejudging.tally, waiting, json_=json_)


def follow(
    rejudging: Rejudging,
    tallies: Iterator[Tally],
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
) -> int:
    """Move files as they are judged, batch by batch; return how many moves are left.

    tallies: as `rejudging` yields them.
    """
    for tally in tallies:
        move_requests.file_or_wait(ledger, folders, settings, tally.to_move, patience_s=0)
    return move_requests.file_or_wait(ledger, folders, settings, rejudging.tally.to_move)


def report(tally: Tally, waiting: int, *, json_: bool) -> None:
    """Print the summary of a run. waiting: how many moves are left to the service."""
    unchanged = sum(count for (old, new), count in tally.changes.items() if old == new)
    changed = Counter({pair: n for pair, n in tally.changes.items() if pair[0] != pair[1]})
    if json_:
        answer: dict[str, Any] = {
            "unchanged": unchanged,
            "changed": {f"{old} → {new}": n for (old, new), n in changed.most_common()},
            "files": [asdict(each) for each in tally.changed],
            "corrected": tally.kept,
            "skipped": tally.skipped,
            "failed": tally.failed,
            "waiting": waiting,
        }
        print_json(answer)
    else:
        for each in tally.changed:
            old, new = (
                outcome if confidence is None else f"{outcome} ({confidence:.3f})"
                for outcome, confidence in (
                    (each.old, each.old_confidence),
                    (each.new, each.new_confidence),
                )
            )
            print(f"{each.path}: {old} → {new}")
        table = Table("", "photographs")
        table.columns[1].justify = "right"
        table.add_row("unchanged", str(unchanged))
        for (old, new), count in changed.most_common():
            table.add_row(f"{old} → {new}", str(count))
        if tally.kept:
            table.add_row("corrected by a person, left there", str(tally.kept))
        table.add_row("already judged by this model", str(tally.skipped))
        if tally.failed:
            table.add_row("failed", str(tally.failed))
        Console().print(table)
    if waiting:
        Console(stderr=True).print(f"{waiting} are recorded; the service moves them next")


def _outermost(given: Iterable[bytes]) -> list[bytes]:
    """Return each folder once, without those that lie in another."""
    chosen: list[bytes] = []
    for folder in sorted(set(given)):
        if not any(folder.startswith(other + b"/") for other in chosen):
            chosen.append(folder)
    return chosen


def _below(chosen: list[bytes], ignored: tuple[str, ...]) -> Iterator[bytes | Unlisted]:
    for folder in chosen:
        yield from files_below(folder, ignored)


def _files(found: Iterator[bytes | Unlisted]) -> Iterator[bytes]:
    """Yield the files; report the folders that cannot be listed."""
    for each in found:
        if isinstance(each, Unlisted):
            complain(each.path, each.why)
        else:
            yield each
