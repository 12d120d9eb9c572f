"""A snapshot of a SQLite ledger: a whole copy of one moment, while the service may run."""

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.files.atomic_write import replacing_durably
from gdwatch.ledger import migration
from gdwatch.ledger.connection import connect, translated
from gdwatch.ledger.opening import require_file


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot holds. version: of the schema. rows: how many, by table."""

    version: str
    rows: Mapping[str, int]


def write_snapshot(url: sa.URL, target: Path) -> Snapshot:
    """Copy the ledger to a new file, durably, and check the copy; on failure there is no file.

    The copy is compared with the ledger as it was at that moment, row by row in number, and checked
    by `PRAGMA integrity_check`. Writers need not wait for it.

    Raises GdwatchError: where `target` is there already, for a database on a server, and as
    `connect` and `migration.current`.
    """
    if url.get_backend_name() == "postgresql":
        name = url.render_as_string(hide_password=True)
        raise GdwatchError(f"database {name}: is on a server", f"use `pg_dump --file {target}`")
    require_file(url)
    if target.exists() or target.is_symlink():
        raise GdwatchError(f"snapshot {target}: is there already", "name a new file")
    engine = connect(url, writable=False)
    try:
        with translated(engine), engine.connect() as connection:
            version = migration.current(connection)
            if version is None:
                raise ActionNeeded(
                    f"database {url.database}: no ledger yet", "`gdwatch run` makes one"
                )
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            # In the transaction that `current` has begun: it is one moment of the ledger.
            rows = _counts(source)
            with replacing_durably(target) as aside:
                _copy(source, aside, rows)
                shutil.copymode(str(url.database), aside)
    except (OSError, sqlite3.Error) as error:
        why = str(getattr(error, "strerror", None) or error).lower()
        raise GdwatchError(f"snapshot {target}: {why}", "look after its folder and disk") from error
    finally:
        engine.dispose()
    return Snapshot(version, rows)


def _copy(source: sqlite3.Connection, target: Path, rows: Mapping[str, int]) -> None:
    with closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        # As the service leaves its own file: a reader needs no write-ahead log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
        answer = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if answer != "ok":
            raise GdwatchError(f"snapshot {target}: {answer}", "`gdwatch db check` the ledger")
        if (found := _counts(copy)) != rows:
            raise GdwatchError(
                f"snapshot {target}: {found} rows, not {rows}", "look after the disk"
            )


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    return {
        name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
        for (name,) in sorted(tables)
    }
