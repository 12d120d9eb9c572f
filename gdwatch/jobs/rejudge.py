"""Judging filed photographs again, for `reprocess` and `requeue`.

The module is long because choosing, recording and moving one file all depend on what its row says
at that moment.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from gdwatch.files import content
from gdwatch.files.durability import require_descriptors
from gdwatch.files.identity import identity_of
from gdwatch.filing import found_files
from gdwatch.filing.found_files import FoundFile
from gdwatch.filing.placement import send
from gdwatch.intake.opening import open_drop
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import Transaction, now, origin_of, result_row
from gdwatch.pipeline.drain import drain
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import (
    Batch,
    Decision,
    Drop,
    Entry,
    Judged,
    Opened,
    Outcome,
    Refusal,
    Serving,
)

Judge = Callable[[Iterator[Opened]], Iterator[Batch]]  # as `drain` with a pipeline

_WHY = {  # by the reason of a skipped drop, worded as the system does
    "permission": "permission denied",
    "unreadable": "input/output error",
    "vanished": "no such file",
    "changed": "changed while it was opened",
}


@dataclass(frozen=True, slots=True)
class RejudgeOptions:
    """Options of a run.

    move: the new result becomes the current one, and its file moves.
    dry_run: count what a run with `move` would do, and record nothing.
    again: judge also files that this model has judged before with the same rules.
    """

    move: bool
    dry_run: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A file with another outcome than before. path: as the ledger says it.

    Confidences: of the model, 0.5 to 1; None where it has none.
    """

    path: str
    old: Outcome
    new: Outcome
    old_confidence: float | None
    new_confidence: float | None


@dataclass(slots=True)
class Tally:
    """Counts of a run so far.

    changed: each file whose outcome is another one.
    changes: files by old and new outcome. skipped: judged before, or being moved.
    failed: could not be read, or not recorded.
    kept: corrected by a person: the new result becomes the current one, the file stays.
    to_move: ids of the rows whose files are to be moved.
    """

    changes: Counter[tuple[Outcome, Outcome]]
    skipped: int
    failed: int
    kept: int
    to_move: list[int]
    changed: list[Change] = field(default_factory=list)


class Rejudging:
    """One run over some files.

    done: called for each file when the run has finished with it: with its absolute path, and with
        the reason if it could not be judged, else None.
    """

    def __init__(
        self,
        ledger: Ledger,
        folders: Folders,
        settings: Settings,
        options: RejudgeOptions,
        done: Callable[[bytes, str | None], None],
    ) -> None:
        self._ledger = ledger
        self._folders = folders
        self._settings = settings
        self._options = options
        self._done = done
        self._moves = options.move or options.dry_run
        self._found: dict[bytes, FoundFile] = {}  # in a dry run, what was moved by hand, by path
        self._followed: set[int] = set()  # the rows of all that were found
        self._sent: set[int] = set()  # rows whose files go to another folder, which may be listed
        self.tally = Tally(Counter(), 0, 0, 0, [])

    def over(self, paths: Iterator[bytes]) -> Iterator[Tally]:
        """Judge files of the answer folders; yield the tally after each batch, and at the end.

        paths: absolute, bytes. What the last yielded tally counts is recorded.

        Raises Trouble and GdwatchError, as the pipeline and the ledger do.
        """
        with contextlib.closing(Pipeline(self._settings)) as pipeline:
            yield from self.judged_by(partial(drain, pipeline), pipeline.models, paths)

    def judged_by(
        self, judge: Judge, models: Sequence[Serving], paths: Iterator[bytes]
    ) -> Iterator[Tally]:
        """Do as `over` does, with others to judge. models: those that judge."""
        for batch in judge(self._opened(paths, models)):
            self._finish(batch)
            yield self.tally
        yield self.tally

    # ------------------------------------------------------------------ opening files

    def _opened(self, paths: Iterator[bytes], models: Sequence[Serving]) -> Iterator[Opened]:
        for path in paths:
            with Handles(self._folders) as handles:
                opened = self._open_if_needed(path, handles, models)
            if opened is not None:
                yield opened

    def _open_if_needed(
        self, path: bytes, handles: Handles, models: Sequence[Serving]
    ) -> Opened | None:
        """Open a file; None if it cannot be read, or need not be judged."""
        self._look_for_row(path)
        opened = _open(path, handles)
        if isinstance(opened, str):
            self._failed(path, opened)
            return None
        try:
            if not self._may_skip(opened, handles, models):
                return opened
        except content.Unreadable as error:
            self._failed(path, error.strerror or str(error))
        else:
            self._done(path, None)
        os.close(opened.descriptor)
        return None

    def _look_for_row(self, path: bytes) -> None:
        """Let a row follow its file if it was moved by hand; a dry run only notes that it would."""
        given = (self._ledger, self._folders, self._settings, [path])
        if not self._options.dry_run:
            found_files.settle(*given)
            return
        for each in found_files.look(*given):
            if each.row.id not in self._followed:  # of two copies, the first would be the row's
                self._followed.add(each.row.id)
                self._found[each.path] = each

    @contextlib.contextmanager
    def _reading(self, path: bytes) -> Iterator[Transaction]:
        """Open a transaction that only reads, in which a row has followed this file."""
        if path in self._found:
            with self._writing([path]) as transaction:
                yield transaction
            return
        with self._ledger.reading() as connection:
            yield self._ledger.transaction(connection)

    @contextlib.contextmanager
    def _writing(self, paths: Sequence[bytes]) -> Iterator[Transaction]:
        """Open a transaction in which rows have followed these files; a dry run only rehearses."""
        if not self._options.dry_run:
            with self._ledger.writing() as transaction:
                yield transaction
            return
        found = [self._found[path] for path in paths if path in self._found]
        with self._ledger.rehearsing() as transaction:
            found_files.follow_in(transaction, self._folders, self._settings, found)
            yield transaction

    def _failed(self, path: bytes, why: str) -> None:
        self.tally.failed += 1
        self._done(path, why)

    def _may_skip(self, opened: Opened, handles: Handles, models: Sequence[Serving]) -> bool:
        """Whether a file need not be judged: it is being moved, or these models have judged it.

        With the option `move`, such an older result of them becomes the current one.
        Raises Unreadable.
        """
        path = opened.drop.path
        with self._reading(path) as transaction:
            row = transaction.at({path}).get(path)
            is_moving = transaction.being_moved({path}) if row is None else row.state != "filed"
            if is_moving:
                self.tally.skipped += 1
                return True
            if row is None:
                return False
            if row.id in self._sent:  # it is listed a second time, where it has been moved to
                return True
            found = [
                (queries.result_of(transaction.connection, row.id, each.sha256), each.rules)
                for each in models
            ]
        # In a cascade the last model that was asked has answered.
        results = [result for result, rules in found if result and result["rules"] == rules]
        if self._options.again or not results:
            return False
        result = results[-1]
        if row.sha256 != content.digest(opened.descriptor):
            return False
        self.tally.skipped += 1
        if self._moves and row.result_id != result["id"]:
            decision = Decision(
                result["outcome"], result["reason"], confidence=result["confidence"]
            )
            ids = result["model_id"], result["id"]
            with self._writing([path]) as transaction:
                row = transaction.row(row.id)
                if row.state == "filed":  # a command may have sent it elsewhere since it was read
                    self._make_current(transaction, handles, row, decision, ids)
        return True

    # ------------------------------------------------------------------ recording results

    def _finish(self, batch: Batch) -> None:
        failed = {
            each.opened.drop.path: each.decoded.detail
            for each in batch.judged
            if isinstance(each.decoded, Refusal) and each.decoded.reason == "unreadable"
        }
        readable = [each for each in batch.judged if each.opened.drop.path not in failed]
        if readable:
            paths = [each.opened.drop.path for each in readable]
            with Handles(self._folders) as handles, self._writing(paths) as transaction:
                batch_id = transaction.batch(batch, transaction.model_id(batch.model))
                for each in readable:
                    ids = transaction.model_id(each.model), batch_id
                    why = self._record(transaction, handles, each, ids)
                    if why is not None:
                        failed[each.opened.drop.path] = why
        for each in batch.judged:
            path = each.opened.drop.path
            self._found.pop(path, None)
            if path in failed:
                self._failed(path, failed[path])
            else:
                self._done(path, None)

    def _record(
        self,
        transaction: Transaction,
        handles: Handles,
        judged: Judged,
        ids: tuple[int, int | None],
    ) -> str | None:
        """Record a result; if that is not possible, return why."""
        model_id, batch_id = ids
        path = judged.opened.drop.path
        row = transaction.at({path}).get(path)
        if transaction.being_moved({path}) or (row is not None and row.state != "filed"):
            self.tally.skipped += 1  # sent elsewhere while it was being judged
            return None
        if row is None or not _is_same(row, judged):
            if not handles.is_file(path):
                return "taken away while it was being judged"
            outcome = self._folders.outcome_of(path)
            if judged.decoded.sha256 is None and outcome not in ("unsure", "rejected"):
                return f"larger than max_bytes, which the ledger never records as {outcome}"
            if row is not None:
                transaction.mark_missing([row])  # its content is gone: another file lies there now
            row = self._insert(transaction, judged, model_id)
        elif row.sha256 is None:
            transaction.update(row.id, sha256=judged.decoded.sha256)
        transaction.insert_results([result_row(row.id, judged, model_id, batch_id)])
        transaction.note_origin(row, origin_of(judged))
        if self._moves:
            ids = model_id, transaction.newest_result(row.id)
            self._make_current(transaction, handles, row, judged.decision, ids)
        else:
            self._count(transaction.connection, row.path, row, judged.decision)
        return None

    def _insert(self, transaction: Transaction, judged: Judged, model_id: int) -> Row:
        """Insert a row for a file that has none; its outcome is that of the folder it lies in."""
        drop, sha256 = judged.opened.drop, judged.decoded.sha256
        outcome = self._folders.outcome_of(drop.path)
        assert outcome is not None  # only what lies in an answer folder is judged again
        reason = judged.decision.reason if sha256 is None else None
        first = transaction.first_with({sha256}).get(sha256) if sha256 else None
        (file_id,) = transaction.new_ids(1)
        entry = Entry(
            file_id,
            drop.path,
            drop.path,
            sha256,
            drop.identity.size_bytes,
            drop.identity.modified_ns,
        )
        moment = now()
        row = transaction.file_row(
            entry, Decision(outcome, reason), moment, moment, origin_of(judged)
        )
        transaction.insert_files(
            [{**row, "model_id": model_id, "duplicate_of": first.id if first else None}]
        )
        return transaction.row(file_id)

    def _count(
        self, connection: Connection, path: bytes, row: Row | None, decision: Decision
    ) -> None:
        """Count a decision; one that changes the outcome is listed as well. row: None: none yet."""
        old = row.outcome if row else self._folders.outcome_of(path) or "unsure"
        self.tally.changes[old, decision.outcome] += 1
        if old != decision.outcome:
            result = queries.current_result(connection, row) if row else None
            before = result["confidence"] if result else None
            self.tally.changed.append(
                Change(self._ledger.text(path), old, decision.outcome, before, decision.confidence)
            )

    def _make_current(
        self,
        transaction: Transaction,
        handles: Handles,
        row: Row,
        decision: Decision,
        ids: tuple[int, int],
    ) -> None:
        """Make a result the current one, and request its move; a corrected file stays.

        ids: of the model and the result.
        """
        model_id, result_id = ids
        transaction.note_changes([row])
        if row.id in transaction.labels([row.id]):
            transaction.update(row.id, model_id=model_id, result_id=result_id)
            self.tally.kept += 1
            return
        self._count(transaction.connection, row.path, row, decision)
        if decision.outcome == row.outcome:
            transaction.update(
                row.id, model_id=model_id, result_id=result_id, reason=decision.reason
            )
            return
        send(transaction, handles, row, decision, self._settings.layout)
        transaction.update(row.id, model_id=model_id, result_id=result_id)
        self._sent.add(row.id)
        if not self._options.dry_run:
            self.tally.to_move.append(row.id)


def _is_same(row: Row, judged: Judged) -> bool:
    """Whether the judged content is the row's: by hash, or by size and time if one is missing."""
    sha256 = judged.decoded.sha256
    if row.sha256 is not None and sha256 is not None:
        return row.sha256 == sha256
    identity = judged.opened.drop.identity
    return (row.size_bytes, row.modified_ns) == (identity.size_bytes, identity.modified_ns)


def _open(path: bytes, handles: Handles) -> Opened | str:
    """Open a file; if that fails, return why."""
    try:
        status = handles.lstat(path)
    except OSError as error:
        require_descriptors(error)
        return error.strerror or str(error)
    except ValueError:
        return "lies below none of the folders of today's settings"
    if status is None:
        return "no such file"
    opened = open_drop(Drop(path, identity_of(status), datetime.now(UTC)), handles)
    return opened if isinstance(opened, Opened) else _WHY[opened.reason]
