"""Connections to the ledger's database, SQLite or PostgreSQL, and its errors in plain words."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from gdwatch.errors import ActionNeeded, GdwatchError, Trouble
from gdwatch.settings import Settings

_BUSY_TIMEOUT_S = 5.0
# Bytes of photographs are random to the index on them: with millions of rows each batch changes
# pages all over the file. A cache that holds the upper levels of that index, and a write-ahead log
# that is copied into the file after 32 MiB and not after 4, save a tenth of the time.
_CACHE_KIB = 16_384
_CHECKPOINT_PAGES = 8_000
# Else a server that is switched off would be waited for as long as TCP likes, which is a quarter of
# an hour: the first is for a new connection, the others for one that is open. By libpq's names.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_OURS = 0x67647731  # "gdw1": the first key of our advisory locks
# Execution option of a connection whose transactions only read: they take no write lock (SQLite).
READS_ALONE = "gdwatch_reads_alone"


def url_of(settings: Settings) -> sa.URL:
    """Return the database URL of the settings; by default that of ROOT/results.db.

    Raises ActionNeeded if the setting is not an SQLAlchemy URL.
    """
    if settings.database is None:
        return sa.URL.create("sqlite", database=str(settings.root.resolve() / "results.db"))
    try:
        return make_url(settings.database)
    except ArgumentError as error:
        raise ActionNeeded(f"setting database: {error}", "write an SQLAlchemy URL") from error


def connect(url: sa.URL, *, writable: bool) -> Engine:
    """Create an SQLAlchemy engine for SQLite or PostgreSQL.

    writable: False opens a SQLite file read-only; PostgreSQL ignores it.

    Raises ActionNeeded for any other kind of database.
    """
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url, writable=writable)
    if backend == "postgresql":
        return _postgresql(url)
    raise ActionNeeded(f"setting database: {backend} is not supported", "use SQLite or PostgreSQL")


def _sqlite(url: sa.URL, *, writable: bool) -> Engine:
    if not writable:
        url = url.set(
            database=f"file:{quote(url.database or '')}", query={"mode": "ro", "uri": "true"}
        )
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        # Else the driver begins and commits by itself; here DDL belongs to the transaction too.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A deferred transaction fails if another process writes between its first read and write.
        writes = writable and not connection.get_execution_options().get(READS_ALONE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: sa.URL) -> Engine:
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={name: of for name, of in _PATIENCE.items() if name not in url.query},
    )

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.execute(f"SET lock_timeout = '{_BUSY_TIMEOUT_S}s'")
        connection.commit()

    return engine


def take_turn(connection: Connection, root_id: int) -> None:
    """Wait until no other transaction of this root writes, as SQLite does for a whole file.

    What is read in the transaction is then true until its end: a free path stays free. Other roots
    need not wait. root_id: of the root's row; 0 for what all roots share.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_OURS}, {root_id})")


def name_of(engine: Engine) -> str:
    """Return the database's name for messages: a file's path, or a URL without its password."""
    path = engine.url.database or ""
    if engine.dialect.name != "sqlite":
        return engine.url.render_as_string(hide_password=True)
    return unquote(path.removeprefix("file:")) if path.startswith("file:") else path


def use_write_ahead_log(engine: Engine) -> None:
    """Switch a SQLite file to write-ahead logging, so that readers and the writer do not wait."""
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")


def device_and_inode(engine: Engine) -> tuple[int, int] | None:
    """Return device and inode of a SQLite file, (0, 0) if it is gone; None for a server.

    Raises Trouble if stat(2) fails for another reason.
    """
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    try:
        status = Path(engine.url.database).stat()
    except FileNotFoundError:
        return (0, 0)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise Trouble(
            "database_gone", f"database {name_of(engine)}: {why}", "look after its folder"
        ) from error
    return (status.st_dev, status.st_ino)


@contextlib.contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Raise the database's errors as GdwatchError, in an operator's words.

    Raises ActionNeeded for a corrupt file, Trouble for what may pass; a bug's error stays as it is.
    """
    try:
        yield
    except DBAPIError as error:
        raise _operator_error(name_of(engine), error) from error


_TROUBLES = {  # by the beginning of SQLite's name of an error, or PostgreSQL's SQLSTATE
    "SQLITE_BUSY": ("database_busy", "is locked by another program", "end that program"),
    "SQLITE_LOCKED": ("database_busy", "is locked by another program", "end that program"),
    "SQLITE_FULL": ("database_full", "its disk is full", "make room"),
    "SQLITE_READONLY": ("database_readonly", "cannot be written", "mend its permissions"),
    "SQLITE_CANTOPEN": ("database_gone", "cannot be opened", "look after its folder"),
    "SQLITE_IOERR": ("database_io", "cannot be read or written", "look after its disk"),
    "55P03": ("database_busy", "is locked by another program", "end that program"),
    "40P01": ("database_busy", "had a deadlock", "it is tried again"),
    "53100": ("database_full", "its disk is full", "make room"),
    "25006": ("database_readonly", "cannot be written", "name a server that takes writes"),
    "58030": ("database_io", "cannot be read or written", "look after its disk"),
}


def _operator_error(name: str, error: DBAPIError) -> GdwatchError:
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
    code = str(code or "")
    said = str(error.orig).partition("\n")[
        0
    ]  # psycopg goes on with guesses, and every host's error
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return ActionNeeded(
            f"database {name}: is corrupt or no database ({said})",
            "put a snapshot in its place; the photographs are untouched",
        )
    for prefix, (reason, what, hint) in _TROUBLES.items():
        if code.startswith(prefix):
            return Trouble(reason, f"database {name}: {what} ({said})", hint)
    if error.connection_invalidated or isinstance(error, sa.exc.OperationalError):
        return Trouble("database_gone", f"database {name}: {said}", "look after its server")
    raise error
