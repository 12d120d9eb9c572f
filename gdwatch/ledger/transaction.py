"""One transaction of the ledger: rows of files, batches, models and results."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection, CursorResult

from gdwatch.files import escaping
from gdwatch.files.identity import modified_ns
from gdwatch.ledger import prepared_statements, rules
from gdwatch.ledger.rows import Row, row_of
from gdwatch.ledger.tables import files, moves, results
from gdwatch.values import (
    Batch,
    Decision,
    Drop,
    Entry,
    Judged,
    Origin,
    Outcome,
    Photo,
    Reason,
    Serving,
    Verdict,
)

UNKNOWN_ORIGIN = Origin()
_VARIABLES = 500  # bound parameters in one statement: databases limit them


def now() -> datetime:
    """Return the time in UTC, without a zone, as the ledger stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction of a ledger. Paths are absolute, bytes; the tables hold them as text.

    root: absolute path, bytes. root_id: the root's row in `roots`.
    command_id: of the command that writes, in `commands`; None if it has no row there.
    """

    root: bytes
    root_id: int
    connection: Connection
    command_id: int | None = None

    def text(self, path: bytes) -> str:
        """Return an absolute path as the ledger stores it, see `escaping.relative_text`."""
        return escaping.relative_text(path, self.root)

    def model_id(self, model: Serving) -> int:
        """Return the id of a model's row, which is inserted at its first use."""
        wanted = {"model": model.sha256}
        found = prepared_statements.MODEL_ID.run(self.connection, wanted).scalar()
        if found is None:
            row = {
                "sha256": model.sha256,
                "name": model.name,
                "version": model.version,
                "first_used_at": now(),
                "details": dict(model.details),
            }
            prepared_statements.INSERT_MODEL.run(self.connection, row)
            found = prepared_statements.MODEL_ID.run(self.connection, wanted).scalar_one()
        return int(found)

    def batch(self, batch: Batch, model_id: int) -> int | None:
        """Insert a batch and return its id; None if the model judged none of its files."""
        if batch.device is None:
            return None
        seen = [each for each in batch.judged if isinstance(each.decoded, Photo)]
        row = {
            "model_id": model_id,
            "device": batch.device,
            "files": len(seen),
            "decode_ms": sum(each.decoded.decode_ms for each in seen),
            "infer_ms": batch.infer_ms,
            "started_at": batch.started_at.replace(tzinfo=None),
            "finished_at": batch.finished_at.replace(tzinfo=None),
        }
        return int(prepared_statements.INSERT_BATCH.run(self.connection, row).scalar_one())

    def new_ids(self, count: int) -> list[int]:
        """Return unused ids for `files`, ascending: file names may contain them before rows do."""
        return list(prepared_statements.NEW_IDS.run(self.connection, {"count": count}).scalars())

    def file_row(
        self,
        entry: Entry,
        decision: Decision,
        received_at: datetime,
        recorded_at: datetime,
        origin: Origin = UNKNOWN_ORIGIN,
    ) -> dict[str, Any]:
        """Return a new row of `files` without `model_id` and `duplicate_of`.

        If the entry's source is its target, there is nothing to move: the row is `filed`.
        """
        source = self.text(entry.source)
        is_filed = entry.source == entry.target
        return {
            "id": entry.id,
            "root_id": self.root_id,
            "sha256": entry.sha256,
            "size_bytes": entry.size_bytes,
            "modified_ns": entry.modified_ns,
            "name": escaping.escape(entry.source.rpartition(b"/")[2]),
            "original_path": source,
            "path": self.text(entry.target),
            "source_path": None if is_filed else source,
            "state": "filed" if is_filed else "recorded",
            "outcome": decision.outcome,
            "reason": decision.reason,
            "received_at": received_at,
            "recorded_at": recorded_at,
            "filed_at": recorded_at if is_filed else None,
            "moved_at": None,
            "result_id": None,
            "command_id": self.command_id,
            "taken_at": origin.taken_at,
            "camera": origin.camera,
            "mode": entry.mode,
            "restored_to": None,
        }

    def insert_files(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert complete rows of `files`, with ids from `new_ids`."""
        prepared_statements.INSERT_FILES.run(self.connection, *rows)

    def insert_results(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows of `results`, from `result_row`; those of earlier decisions stay."""
        asked = [{**row, "command_id": self.command_id} for row in rows]
        prepared_statements.INSERT_RESULTS.run(self.connection, *asked)

    def make_newest_current(self, ids: Sequence[int]) -> None:
        """Make the newest result of each of these rows its current one."""
        prepared_statements.NEWEST_RESULT.run(self.connection, *({"row": each} for each in ids))

    def note_origin(self, row: Row, origin: Origin) -> None:
        """Fill in what an earlier version has not read of a photograph, or an earlier decision."""
        if origin != UNKNOWN_ORIGIN:
            self.update(row.id, taken_at=origin.taken_at, camera=origin.camera)
        if row.result_id is None:
            self.make_newest_current([row.id])

    def newest_result(self, file_id: int) -> int:
        """Return the id of a file's newest result, which must exist."""
        query = sa.select(sa.func.max(results.c.id)).where(results.c.file_id == file_id)
        return int(self.connection.execute(query).scalar_one())

    def labels(self, ids: Sequence[int]) -> dict[int, Verdict]:
        """Return, by the id of its row, the verdict that stands on each file that has one."""
        found = prepared_statements.LABELS.run(self.connection, {"ids": list(ids)})
        return {row.file_id: row.label for row in found if row.label is not None}

    def note_changes(
        self, rows: Sequence[Row], how: Literal["command", "hand"] = "command"
    ) -> None:
        """Write down how rows stand before the command changes them, so that it can be undone.

        how: `hand` if the command only notices what a person has done, which no undo takes back.
        """
        if self.command_id is None or not rows:
            return
        labels = self.labels([row.id for row in rows])
        moment = now()
        noted = [
            {
                "file_id": row.id,
                "command_id": self.command_id,
                "result_id": row.result_id,
                "path": self.text(row.source or row.path),
                "outcome": row.outcome,
                "reason": row.reason,
                "label": labels.get(row.id),
                "at": moment,
                "how": how,
            }
            for row in rows
        ]
        prepared_statements.INSERT_CHANGES.run(self.connection, *noted)

    def correct(
        self,
        ids: Sequence[int],
        label: Verdict | None,
        by: str,
        how: Literal["command", "hand"] = "command",
    ) -> None:
        """Insert a person's word on these files.

        label: None takes the last word back. by: the user's name.
        """
        if not ids:
            return
        words = {"label": label, "by": by, "at": now(), "how": how, "command_id": self.command_id}
        rows = [{"file_id": each, **words} for each in ids]
        prepared_statements.INSERT_CORRECTIONS.run(self.connection, *rows)

    def first_with(self, hashes: set[str]) -> dict[str, Row]:
        """Return, by SHA-256, the root's first row of each of these hashes that has one.

        A row counts only if its file has not gone before it was ever filed: what a crash has left
        of a file that was renamed meanwhile is nobody's original.
        """
        wanted = {"root_id": self.root_id, "hashes": list(hashes)}
        found = prepared_statements.FIRST_WITH.run(self.connection, wanted)
        return {row.sha256: row for row in self._rows(found) if row.sha256 is not None}

    def known(self, hashes: set[str]) -> set[str]:
        """Return those of these hashes that a row of the root has."""
        wanted = {"root_id": self.root_id, "hashes": list(hashes)}
        return set(prepared_statements.KNOWN_HASHES.run(self.connection, wanted).scalars())

    def newest_with(self, sha256: str, most: int) -> list[Row]:
        """The root's newest rows with this hash, the last one first, no more than `most`."""
        wanted = {"root_id": self.root_id, "sha256": sha256, "most": most}
        found = self._rows(prepared_statements.NEWEST_WITH.run(self.connection, wanted))
        return sorted(found, key=lambda row: row.id, reverse=True)

    def at(self, paths: set[bytes]) -> dict[bytes, Row]:
        """Return, by path, the rows that are not `missing` and have one of these paths."""
        texts = [self.text(path) for path in paths]
        wanted = {"root_id": self.root_id, "paths": texts}
        return {
            row.path: row for row in self._rows(prepared_statements.AT.run(self.connection, wanted))
        }

    def _rows(self, found: CursorResult[Any]) -> Iterator[Row]:
        ids = list(found.scalars())
        for start in range(0, len(ids), _VARIABLES):
            parameters = {"ids": ids[start : start + _VARIABLES]}
            found_rows = self.connection.execute(prepared_statements.ROWS, parameters)
            yield from (row_of(each, self.root) for each in found_rows)

    def under_way(self, drops: Sequence[Drop]) -> set[bytes]:
        """Return the paths of those drops, same in size and time, that are recorded, not moved."""
        by_text = {self.text(drop.path): drop for drop in drops}
        wanted = {"root_id": self.root_id, "paths": list(by_text)}
        found: set[bytes] = set()
        for row in prepared_statements.UNDER_WAY.run(self.connection, wanted):
            drop = by_text[row.source_path]
            of_drop = (drop.identity.size_bytes, drop.identity.modified_ns)
            if of_drop == (row.size_bytes, row.modified_ns):
                found.add(drop.path)
        return found

    def being_moved(self, paths: set[bytes]) -> set[bytes]:
        """Return those of these paths whose file is recorded and still to be moved elsewhere."""
        by_text = {self.text(path): path for path in paths}
        wanted = {"root_id": self.root_id, "paths": list(by_text)}
        found = prepared_statements.UNDER_WAY.run(self.connection, wanted)
        return {by_text[row.source_path] for row in found}

    def update(self, file_id: int, **values: Any) -> None:
        """Set columns of a row of `files`."""
        self.connection.execute(sa.update(files).where(files.c.id == file_id).values(**values))

    def request_move(self, row: Row, target: bytes, decision: Decision) -> None:
        """Set a row to `recorded`: its file is to be moved to `target` for this decision."""
        values = {
            "row": row.id,
            "source": self.text(row.source or row.path),
            "target": self.text(target),
            "to": decision.outcome,
            "why": decision.reason,
            "by": self.command_id,
        }
        prepared_statements.REQUEST_MOVE.run(self.connection, values)

    def row(self, file_id: int) -> Row:
        """Return the row of `files` with this id, which must exist."""
        query = sa.select(files).where(files.c.id == file_id)
        return row_of(self.connection.execute(query).one(), self.root)

    def rows(self, ids: Sequence[int]) -> list[Row]:
        """Return the rows of `files` with these ids, in their order; they must exist."""
        by_id: dict[int, Row] = {}
        for start in range(0, len(ids), _VARIABLES):
            parameters = {"ids": list(ids[start : start + _VARIABLES])}
            found = self.connection.execute(prepared_statements.ROWS, parameters)
            by_id |= {each.id: row_of(each, self.root) for each in found}
        return [by_id[each] for each in ids]

    def changed_late(
        self, file_id: int, status: os.stat_result, sha256: str, source: bytes, target: bytes
    ) -> None:
        """Make a file `unsure`, reason `changed_late`: its bytes are not those that were judged.

        status, sha256: of the new bytes. source, target: absolute paths of the move to come.
        """
        self.update(
            file_id,
            sha256=sha256,
            size_bytes=status.st_size,
            modified_ns=modified_ns(status),
            state="recorded",
            source_path=self.text(source),
            path=self.text(target),
            outcome="unsure",
            reason="changed_late",
            duplicate_of=None,
            command_id=self.command_id,
        )
        row = self.row(file_id)
        query = sa.select(results).where(results.c.id == row.result_id)
        judged = self.connection.execute(query).mappings().first()
        self.insert_results(
            [
                {
                    **dict.fromkeys(column.name for column in results.c if column.name != "id"),
                    **({"rules": "", **rules.columns_of("")} if judged is None else judged),
                    "file_id": file_id,
                    "model_id": row.model_id,
                    "outcome": "unsure",
                    "reason": "changed_late",
                    "label": None,
                    "p_male": None,
                    "confidence": None,
                    "decided_at": now(),
                }
            ]
        )
        self.make_newest_current([file_id])

    def mark_filed(self, entries: Sequence[Entry]) -> None:
        """Set the rows of these entries to `filed`: the files lie at their targets, durably.

        If a command has meanwhile given a row another path, the row stays `recorded`, and the
        target that the file has reached becomes its source. Each move gets its row in `moves`.
        """
        moment = now()
        self._mark(prepared_statements.MOVED, entries, at=moment)
        done = self._mark(prepared_statements.FILED, entries, at=moment)
        if done < len(entries):
            for entry in entries:
                row = self.row(entry.id)
                if row.state == "recorded" and row.source != entry.target:
                    self.note_move(entry.id, entry.source, entry.target, "run", moment)
                    self.update(entry.id, source_path=self.text(entry.target))

    def mark_restored(self, entries: Sequence[Entry]) -> None:
        """Set the rows of these entries to `missing`: the files were put back, durably."""
        moment = now()
        self._mark(prepared_statements.MOVED, entries, at=moment)
        self._mark(prepared_statements.RESTORED, entries, at=moment)

    def mark_not_restored(
        self, entries: Sequence[Entry], then: Literal["filed", "missing"]
    ) -> None:
        """Set the rows of these entries to how they were: the files were not put back."""
        self._mark(prepared_statements.NOT_RESTORED, entries, then=then)

    def lies_at(
        self, row: Row, path: bytes, outcome: Outcome, reason: Reason | None, moment: datetime
    ) -> None:
        """Set a row to `filed` at a path where its file lies already, moved by nobody or by hand.

        moment: when that was seen; the time of a move only where the path is another one.
        """
        filed_at = sa.func.coalesce(files.c.filed_at, moment)
        self.update(
            row.id, state="filed", source_path=None, path=self.text(path), outcome=outcome,
            reason=reason, filed_at=filed_at,
            moved_at=files.c.moved_at if path == row.path else moment, restored_to=None,
        )  # fmt: skip

    def note_move(
        self, file_id: int, source: bytes, target: bytes, why: str, moment: datetime
    ) -> None:
        """Insert a row of `moves`. why: a command's name, or `hand`."""
        self.connection.execute(
            sa.insert(moves).values(
                file_id=file_id,
                from_path=self.text(source),
                to_path=self.text(target),
                why=why,
                command_id=self.command_id,
                moved_at=moment,
            )
        )

    def mark_gone(self, entries: Sequence[Entry]) -> None:
        """Set the rows of these entries to `missing`: no file is at the source or the target."""
        self._mark(prepared_statements.GONE, entries)

    def mark_missing(self, rows: Sequence[Row]) -> None:
        """Set rows to `missing`, as their files are gone; one changed since it was read stays."""
        for row in rows:
            self.connection.execute(
                sa.update(files)
                .where(files.c.id == row.id, files.c.path == self.text(row.path))
                .where(files.c.state == row.state)
                .values(state="missing", source_path=None)
            )

    def _mark(
        self, statement: prepared_statements.Prepared, entries: Sequence[Entry], **values: Any
    ) -> int:
        if not entries:
            return 0
        rows = [
            {"row": entry.id, "as_read": self.text(entry.target), **values} for entry in entries
        ]
        return statement.run(self.connection, *rows).rowcount

    def insert(self, table: sa.Table, **values: Any) -> int:
        """Insert a row into a table and return its id."""
        statement = sa.insert(table).values(**values).returning(table.c.id)
        return int(self.connection.execute(statement).scalar_one())


def origin_of(judged: Judged) -> Origin:
    """Return what is known of a photograph's making; nothing for a file that is none."""
    return judged.decoded.origin if isinstance(judged.decoded, Photo) else UNKNOWN_ORIGIN


def result_row(file_id: int, judged: Judged, model_id: int, batch_id: int | None) -> dict[str, Any]:
    """Return one decision as a row of `results`. batch_id: left out if no network saw the file."""
    decision: Decision = judged.decision
    header = judged.decoded.header
    box = decision.box
    return {
        "file_id": file_id,
        "model_id": model_id,
        "rules": judged.model.rules,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "label": decision.label,
        "p_male": decision.p_male,
        "confidence": decision.confidence,
        "faces": decision.faces,
        "box_x": box.x if box else None,
        "box_y": box.y if box else None,
        "box_w": box.width if box else None,
        "box_h": box.height if box else None,
        "width": header.width if header else None,
        "height": header.height if header else None,
        "format": header.format if header else None,
        "batch_id": batch_id if isinstance(judged.decoded, Photo) else None,
        "decided_at": now(),
        **rules.columns_of(judged.model.rules),
    }
