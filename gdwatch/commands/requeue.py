"""`gdwatch requeue`: judge the named files again at once, and file what changed."""

from contextlib import closing

from gdwatch.commands.asked import asked
from gdwatch.commands.output import counted, progress
from gdwatch.commands.reprocess import follow, report
from gdwatch.errors import GdwatchError
from gdwatch.filing import move_requests
from gdwatch.jobs.rejudge import RejudgeOptions, Rejudging
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
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

    which: ids or paths. Raises GdwatchError.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    with closing(open_ledger(settings, root_id.read_id(folders), asked("requeue"))) as ledger:
        paths = _paths(ledger, folders, settings, which)
        if outcome is not None or reason is not None:
            paths += [row.path for row in queries.filed_rows(ledger, outcome, reason)]
        with progress(len(paths)) as seen:
            options = RejudgeOptions(move=True, again=True)
            rejudging = Rejudging(ledger, folders, settings, options, counted(seen))
            waiting = follow(rejudging, iter(paths), ledger, folders, settings)
    report(rejudging.tally, waiting, json_=json_)


def _paths(ledger: Ledger, folders: Folders, settings: Settings, which: list[str]) -> list[bytes]:
    paths = []
    for each in which:
        with ledger.reading() as connection:
            row = queries.find(ledger, connection, each)
        move_requests.finish_move(ledger, folders, settings, row)
        with ledger.reading() as connection:
            row = queries.find(ledger, connection, str(row.id))
        if row.state == "missing":
            raise GdwatchError(
                f"{each}: its file has been taken away", "drop it into the inbox again"
            )
        paths.append(row.path)
    return paths
