"""The open ledger: its transactions, its consistent looks, and what is still to be moved.

Every write is one transaction that begins with the write lock; errors of the database come out as
`Trouble` or `ActionNeeded`.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from gdwatch.errors import ActionNeeded
from gdwatch.files import escaping
from gdwatch.ledger import prepared_statements
from gdwatch.ledger.connection import READS_ALONE, device_and_inode, translated
from gdwatch.ledger.transaction import Transaction
from gdwatch.values import Entry


@dataclass(frozen=True, slots=True)
class Ledger:
    """An open ledger. root: bytes, absolute; root_id: its row, 0 where only read."""

    engine: Engine
    root: bytes
    root_id: int
    identity: tuple[int, int] | None  # device and inode of a SQLite file, to notice another

    @contextlib.contextmanager
    def writing(self) -> Iterator["Transaction"]:
        """One transaction; on leaving it without an error, what was written is durable."""
        with translated(self.engine):
            self._require_same_file()
            with self.engine.begin() as connection:
                yield Transaction(self.root, self.root_id, connection)
                self._require_same_file()  # a commit to a file that is gone would tell of success

    def _require_same_file(self) -> None:
        if self.identity is not None and self.identity != device_and_inode(self.engine):
            raise ActionNeeded(
                f"database {self.engine.url.database}: was removed or replaced while in use",
                "put the right file back and start again",
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent look; whoever writes meanwhile need not wait for it."""
        with translated(self.engine), self.engine.connect() as connection:
            yield connection.execution_options(**{READS_ALONE: True})

    def pending(self, after: int = 0, limit: int = 256) -> list[Entry]:
        """The next rows, by id, whose file is not yet known to lie at its path."""
        wanted = {"root_id": self.root_id, "after": after, "most": limit}
        with self.reading() as connection:
            return [
                Entry(
                    row.id,
                    escaping.absolute_path(row.source_path, self.root),
                    escaping.absolute_path(row.path, self.root),
                    row.sha256,
                    row.size_bytes,
                    row.modified_ns,
                )
                for row in prepared_statements.PENDING.run(connection, wanted)
            ]

    def text(self, path: bytes) -> str:
        """A path as the ledger shows it."""
        return escaping.relative_text(path, self.root)

    def close(self, *, last: bool = False) -> None:
        """Close it; `last`: as the service, which leaves a file that read-only users can query."""
        if last and self.engine.dialect.name == "sqlite":
            with contextlib.suppress(DBAPIError), self.engine.connect() as connection:
                connection.exec_driver_sql("ROLLBACK")
                connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
        self.engine.dispose()
