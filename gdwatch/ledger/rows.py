"""A row of the table `files` as a value."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gdwatch.files import escaping
from gdwatch.values import Mode, Outcome, Reason


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `files`. Paths: absolute, bytes; `source` is None unless the state is `recorded`.

    restored_to: the folder that `restore` puts the file into, or has put it into; else None.
    """

    id: int
    path: bytes
    source: bytes | None
    original: bytes
    sha256: str | None
    size_bytes: int
    modified_ns: int
    state: str
    outcome: Outcome
    reason: Reason | None
    model_id: int
    result_id: int | None
    recorded_at: datetime
    mode: Mode = "move"
    restored_to: bytes | None = None

    @property
    def is_restored(self) -> bool:
        """Whether `restore` has put the file back: it lies at `path`, in no answer folder."""
        return self.state == "missing" and self.restored_to is not None


def row_of(found: sa.Row[Any], root: bytes) -> Row:
    """Convert a row of `files` as read. root: absolute path that its paths are relative to."""
    return Row(
        id=found.id,
        path=escaping.absolute_path(found.path, root),
        source=escaping.absolute_path(found.source_path, root) if found.source_path else None,
        original=escaping.absolute_path(found.original_path, root),
        sha256=found.sha256,
        size_bytes=found.size_bytes,
        modified_ns=found.modified_ns,
        state=found.state,
        outcome=found.outcome,
        reason=found.reason,
        model_id=found.model_id,
        result_id=found.result_id,
        recorded_at=found.recorded_at,
        mode=found.mode,
        restored_to=(
            escaping.absolute_path(found.restored_to, root) if found.restored_to else None
        ),
    )
