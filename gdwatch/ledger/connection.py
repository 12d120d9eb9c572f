"""The database behind the ledger: SQLite or PostgreSQL, and its troubles in an operator's words."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from gdwatch.errors import ActionNeeded, GdwatchError, Trouble
from gdwatch.settings import Settings

_BUSY_TIMEOUT_S = 5.0
READS_ALONE = "gdwatch_reads_alone"  # the option of a connection that takes no write lock (SQLite)


def url_of(settings: Settings) -> sa.URL:
    """The database that the settings name. Raises ActionNeeded if they name none."""
    if settings.database is None:
        return sa.URL.create("sqlite", database=str(settings.root.resolve() / "results.db"))
    try:
        return make_url(settings.database)
    except ArgumentError as error:
        raise ActionNeeded(f"setting database: {error}", "write an SQLAlchemy URL") from error


def connect(url: sa.URL, *, writable: bool) -> Engine:
    """An engine with our rules on every connection. Raises ActionNeeded for another database."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url, writable=writable)
    if backend == "postgresql":
        return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    raise ActionNeeded(f"setting database: {backend} is not supported", "use SQLite or PostgreSQL")


def _sqlite(url: sa.URL, *, writable: bool) -> Engine:
    if not writable:
        url = url.set(
            database=f"file:{quote(url.database or '')}", query={"mode": "ro", "uri": "true"}
        )
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        # The driver would begin and commit on its own; transactions are ours, DDL included.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A transaction that first reads and then wants to write would fail when another writes.
        writes = writable and not connection.get_execution_options().get(READS_ALONE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def name_of(engine: Engine) -> str:
    """What messages call a database: a file by its path, a server by its URL."""
    path = engine.url.database or ""
    if engine.dialect.name != "sqlite":
        return engine.url.render_as_string(hide_password=True)
    return unquote(path.removeprefix("file:")) if path.startswith("file:") else path


def use_write_ahead_log(engine: Engine) -> None:
    """Let readers read while one writes (SQLite)."""
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")


def device_and_inode(engine: Engine) -> tuple[int, int] | None:
    """Device and inode of a SQLite file, (0, 0) if it is gone; None for a server.

    Raises Trouble if it may not be looked at.
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
    """Say in an operator's words what a database has against us."""
    try:
        yield
    except DBAPIError as error:
        raise _in_words(name_of(engine), error) from error


_WORDS = {
    "SQLITE_BUSY": ("database_busy", "is locked by another program", "end that program"),
    "SQLITE_LOCKED": ("database_busy", "is locked by another program", "end that program"),
    "SQLITE_FULL": ("database_full", "its disk is full", "make room"),
    "SQLITE_READONLY": ("database_readonly", "cannot be written", "mend its permissions"),
    "SQLITE_CANTOPEN": ("database_gone", "cannot be opened", "look after its folder"),
    "SQLITE_IOERR": ("database_io", "cannot be read or written", "look after its disk"),
}


def _in_words(name: str, error: DBAPIError) -> GdwatchError:
    code = str(getattr(error.orig, "sqlite_errorname", ""))
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return ActionNeeded(
            f"database {name}: is corrupt or no database ({error.orig})",
            "put a snapshot in its place; the photographs are untouched",
        )
    for prefix, (reason, what, hint) in _WORDS.items():
        if code.startswith(prefix):
            return Trouble(reason, f"database {name}: {what} ({error.orig})", hint)
    if error.connection_invalidated or isinstance(error, sa.exc.OperationalError):
        return Trouble("database_gone", f"database {name}: {error.orig}", "look after its server")
    raise error
