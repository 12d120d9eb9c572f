"""A person's verdicts on many files: recorded together, then the files move."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gdwatch.errors import GdwatchError
from gdwatch.files import content, escaping
from gdwatch.files.users import own_name
from gdwatch.filing import move_requests, placement
from gdwatch.ledger import opening, queries
from gdwatch.ledger.ledger import Command, Ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import Transaction
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Decision, Verdict

DECISIONS: dict[Verdict, Decision] = {
    "female": Decision("female", None),
    "male": Decision("male", None),
    "neither": Decision("unsure", "by_hand"),
    "reject": Decision("rejected", "by_hand"),
}
_PAGE = 256  # files in one transaction
_BROKEN = (None, "by_hand", "duplicate")  # reasons with which a rejected file is a photograph


@dataclass(frozen=True, slots=True)
class VerdictOptions:
    """Options of a run. verdict: None takes the last one back. force: broken files, too.

    by: the person's name; None: the current user's.
    command: gets its row in the transaction that records; None: the ledger was opened by it.
    """

    verdict: Verdict | None
    dry_run: bool = False
    force: bool = False
    by: str | None = None
    command: Command | None = None


@dataclass(slots=True)
class Corrected:
    """rows: as they were before, of files that were corrected. refused: why others were not.

    waiting: how many of the files the service has yet to move. command_id: of the command that
    was given; None if it has changed nothing.
    """

    rows: list[Row] = field(default_factory=list)
    refused: list[GdwatchError] = field(default_factory=list)
    waiting: int = 0
    command_id: int | None = None


def correct(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    rows: Sequence[Row],
    options: VerdictOptions,
) -> Corrected:
    """Record a verdict on these files, and move them. Raises Trouble."""
    done = Corrected()
    for start in range(0, len(rows), _PAGE):
        page = rows[start : start + _PAGE]
        moving = [row.id for row in page if row.state == "recorded"]
        move_requests.file_or_wait(ledger, folders, settings, moving)
        with ledger.reading() as connection:
            transaction = ledger.transaction(connection)
            page = transaction.rows([row.id for row in page])
        recorded = record(ledger, folders, settings, page, options)
        done.rows += recorded.rows
        done.refused += recorded.refused
    if not options.dry_run:
        ids = [row.id for row in done.rows]
        done.waiting = move_requests.file_or_wait(ledger, folders, settings, ids)
    return done


def record(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    rows: Sequence[Row],
    options: VerdictOptions,
) -> Corrected:
    """Record a verdict on these files in one transaction; whoever holds the lock moves them next.

    rows: as they were looked at; one that has changed since is refused. Raises Trouble.
    """
    done = Corrected()
    with Handles(folders) as handles:
        done.rows = [row for row in rows if _may_be_corrected(row, handles, options, done)]
        if not options.dry_run and done.rows:
            with ledger.writing() as transaction:
                if options.command is not None:
                    transaction = opening.written_by(transaction, options.command)
                    done.command_id = transaction.command_id
                done.rows = _record(transaction, handles, done.rows, options, settings, done)
    return done


def _may_be_corrected(row: Row, handles: Handles, options: VerdictOptions, done: Corrected) -> bool:
    try:
        if row.state == "recorded":
            raise move_requests.being_moved(row)
        if row.sha256 is None and options.verdict not in (None, "reject"):
            raise GdwatchError(f"id {row.id}: is larger than max_bytes", "`reject` is what is left")
        broken = row.outcome == "rejected" and row.reason not in _BROKEN
        if broken and options.verdict not in (None, "reject") and not options.force:
            raise GdwatchError(
                f"id {row.id}: is no photograph that can be read ({row.reason})",
                "--force files it all the same",
            )
        _require_same(row, handles)
    except GdwatchError as error:
        done.refused.append(error)
        return False
    return True


def _require_same(row: Row, handles: Handles) -> None:
    """Raise GdwatchError if the file's content is not what its row says."""
    name = escaping.escape(row.path)
    try:
        if row.sha256 in (None, content.digest_at(handles.parent(row.path))):
            return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise GdwatchError(f"{name}: {why.lower()}", "look after the file") from error
    raise GdwatchError(
        f"{name}: its bytes are not those that were judged",
        "`gdwatch reprocess` on its folder gives them a row of their own",
    )


def _record(
    transaction: Transaction,
    handles: Handles,
    page: Sequence[Row],
    options: VerdictOptions,
    settings: Settings,
    done: Corrected,
) -> list[Row]:
    """Record the verdict on a page, and request the moves; return the rows that had no change."""
    ids = [row.id for row in page]
    labels = transaction.labels(ids)
    taken = []
    for before, row in zip(page, transaction.rows(ids), strict=True):
        if row != before:  # another command, or the service, came in between
            done.refused.append(move_requests.being_moved(row))
        elif options.verdict is None and row.id not in labels:
            done.refused.append(
                GdwatchError(
                    f"id {row.id}: nobody has corrected it", "there is nothing to take back"
                )
            )
        else:
            taken.append(row)
    transaction.note_changes(taken)
    transaction.correct([row.id for row in taken], options.verdict, options.by or own_name())
    for row in taken:
        decision = (
            DECISIONS[options.verdict] if options.verdict else model_decision(transaction, row)
        )
        if decision.outcome == row.outcome:
            transaction.update(row.id, reason=decision.reason)
        else:
            placement.send(transaction, handles, row, decision, settings.layout)
    return taken


def model_decision(transaction: Transaction, row: Row) -> Decision:
    """Return what the model says of a file; where it is, if there is no result."""
    result = queries.current_result(transaction.connection, row)
    if result is None:
        return Decision(row.outcome, row.reason)
    return Decision(result["outcome"], result["reason"])
