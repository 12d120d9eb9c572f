"""The open ledger: write transactions, consistent reads, and the rows of files still to be moved.

A write transaction waits for its turn when it begins: in SQLite for the file's write lock, in
PostgreSQL for its root's. Database errors are raised as `Trouble` or `ActionNeeded`.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from gdwatch.errors import ActionNeeded
from gdwatch.files import escaping
from gdwatch.ledger import migration, prepared_statements
from gdwatch.ledger.connection import READS_ALONE, device_and_inode, take_turn, translated
from gdwatch.ledger.transaction import Transaction
from gdwatch.values import Entry


@dataclass(frozen=True, slots=True)
class Command:
    """What opens the ledger to write, for the table `commands`.

    name: `run`, `correct`, … arguments: as given, one line. by: the user's name.
    """

    name: str
    arguments: str
    by: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """An open ledger.

    root: absolute path, bytes. root_id: the root's row in `roots`.
    identity: device and inode of a SQLite file, to notice that it was replaced.
    command_id: the row in `commands` of the command that has opened it; None if it has none.
    """

    engine: Engine
    root: bytes
    root_id: int
    identity: tuple[int, int] | None
    command_id: int | None = None

    @contextlib.contextmanager
    def writing(self) -> Iterator["Transaction"]:
        """Open a write transaction; leaving it without an error commits, durably.

        Raises Trouble and ActionNeeded, as for a SQLite file that was removed or replaced.
        """
        with translated(self.engine):
            self._require_same_file()
            with self.engine.begin() as connection:
                take_turn(connection, self.root_id)
                migration.require_unchanged(connection)
                yield self.transaction(connection)
                self._require_same_file()  # a commit to a removed file would succeed

    @contextlib.contextmanager
    def rehearsing(self) -> Iterator["Transaction"]:
        """Open a write transaction that leaves no trace: it is rolled back in the end.

        Raises Trouble and ActionNeeded.
        """
        with translated(self.engine), self.engine.connect() as connection:
            take_turn(connection, self.root_id)
            yield self.transaction(connection)
            connection.rollback()

    def transaction(self, connection: Connection) -> "Transaction":
        """Return the transaction of a connection that `writing` or `reading` has opened."""
        return Transaction(self.root, self.root_id, connection, self.command_id)

    def _require_same_file(self) -> None:
        if self.identity is not None and self.identity != device_and_inode(self.engine):
            raise ActionNeeded(
                f"database {self.engine.url.database}: was removed or replaced while in use",
                "put the right file back and start again",
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection for one consistent read; writers need not wait for it.

        Raises Trouble and ActionNeeded.
        """
        with translated(self.engine), self.engine.connect() as connection:
            connection = connection.execution_options(**{READS_ALONE: True})
            migration.require_unchanged(connection)
            yield connection

    def pending(self, after: int = 0, limit: int = 256) -> list[Entry]:
        """Return the next entries of rows in state `recorded`, by id.

        after: only ids above this one. limit: how many at most.
        """
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
                    row.mode,
                    row.restored_to and escaping.absolute_path(row.restored_to, self.root),
                )
                for row in prepared_statements.PENDING.run(connection, wanted)
            ]

    def text(self, path: bytes) -> str:
        """Return an absolute path as the ledger stores it, see `escaping.relative_text`."""
        return escaping.relative_text(path, self.root)

    def close(self, *, last: bool = False) -> None:
        """Close the ledger.

        last: leave write-ahead logging (SQLite) as the service does when it stops, so that users
            who may only read the file can query it.
        """
        if last and self.engine.dialect.name == "sqlite":
            with contextlib.suppress(DBAPIError), self.engine.connect() as connection:
                connection.exec_driver_sql("ROLLBACK")
                connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
        self.engine.dispose()
