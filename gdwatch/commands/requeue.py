"""`gdwatch requeue`: judge the named files again at once, and file what changed."""

import sys
from contextlib import closing

from gdwatch.commands.asked import asked
from gdwatch.commands.output import counted, progress
from gdwatch.commands.reprocess import follow, report
from gdwatch.filing import move_requests
from gdwatch.jobs.named_files import named_files
from gdwatch.jobs.rejudge import RejudgeOptions, Rejudging
from gdwatch.ledger import queries
from gdwatch.ledger.opening import open_ledger
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings


def requeue(
    settings: Settings,
    which: list[str],
    outcome: str | None,
    reason: str | None,
    *,
    json_: bool,
) -> None:
    """Judge the named files again, and those with an outcome or a reason; print what changed.

    which: ids, paths, or folders. Raises GdwatchError.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    with closing(open_ledger(settings, root_id.read_id(folders), asked("requeue"))) as ledger:
        named = named_files(ledger, folders, settings, which)
        if len(named.refused) == 1 and not named.rows:
            raise named.refused[0]
        for error in named.refused:
            print(f"gdwatch: {error}", file=sys.stderr)
        moving = [row.id for row in named.rows if row.state == "recorded"]
        if move_requests.file_or_wait(ledger, folders, settings, moving):
            raise move_requests.being_moved(named.rows[0])
        with ledger.reading() as connection:
            rows = ledger.transaction(connection).rows([row.id for row in named.rows])
        paths = [row.path for row in rows]
        if outcome is not None or reason is not None:
            known = set(paths)
            chosen = queries.filed_rows(ledger, outcome, reason)
            paths += [row.path for row in chosen if row.path not in known]
        with progress(len(paths)) as bar:
            options = RejudgeOptions(move=True, again=True)
            rejudging = Rejudging(ledger, folders, settings, options, counted(bar.seen))
            tallies = rejudging.over(iter(paths))
            waiting = follow(rejudging, tallies, ledger, folders, settings)
    report(rejudging.tally, waiting, json_=json_)
