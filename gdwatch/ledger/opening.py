"""Opening the ledger: to serve, to write, or only to read."""

import os
from pathlib import Path

import sqlalchemy as sa

from gdwatch.errors import ActionNeeded, Trouble
from gdwatch.ledger import migration
from gdwatch.ledger.connection import (
    connect,
    device_and_inode,
    translated,
    url_of,
    use_write_ahead_log,
)
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.tables import files, roots
from gdwatch.ledger.transaction import Transaction, now
from gdwatch.settings import Settings

# ------------------------------------------------------------------------- opening


def open_ledger(settings: Settings, root_uuid: str, *, serve: bool = False) -> Ledger:
    """Open the ledger for writing; `serve`: as the service, which makes one where there is none.

    Raises ActionNeeded for a database that is not ours, not of this version or not writable.
    """
    engine = connect(url_of(settings), writable=True)
    root = os.fsencode(settings.root.resolve())
    try:
        if serve:
            _require_sound(settings)
        with translated(engine):
            with engine.begin() as connection:
                if serve and migration.current(connection) is None:
                    migration.upgrade(connection)
                migration.require_newest(connection)
            if serve and engine.dialect.name == "sqlite":
                use_write_ahead_log(engine)
            identity = device_and_inode(engine)
            ledger = Ledger(engine, root, 0, identity)
            with ledger.writing() as transaction:
                root_id = _root_id(transaction, root_uuid)
    except Trouble as trouble:
        is_file = engine.dialect.name == "sqlite"  # a server may only have not started yet
        if is_file and trouble.reason in ("database_readonly", "database_gone"):
            raise ActionNeeded(trouble.message, trouble.hint) from trouble
        raise
    return Ledger(engine, root, root_id, identity)


def _require_sound(settings: Settings) -> None:
    """Raise ActionNeeded for a SQLite file that is damaged or not ours, without a change to it.

    To close a file that was opened for writing may change it: what a crash has left in the
    write-ahead log goes into the pages.
    """
    url = url_of(settings)
    if url.get_backend_name() != "sqlite" or not Path(url.database or "").is_file():
        return
    for writable in (False, True):
        engine = connect(url, writable=writable)
        try:
            with translated(engine), engine.connect() as connection:
                migration.current(connection)
                migration.require_sound(connection)
            return
        except Trouble as trouble:
            # A transaction that a crash has cut off must be rolled back before it can be read.
            if writable or trouble.reason != "database_readonly":
                raise
        finally:
            engine.dispose()


def open_to_read(settings: Settings) -> Ledger:
    """Open the ledger of any version for reading alone, whether the service runs or not.

    Raises ActionNeeded if there is none.
    """
    url = url_of(settings)
    if url.get_backend_name() == "sqlite":
        _require_file(url)
    engine = connect(url_of(settings), writable=False)
    with translated(engine), engine.connect() as connection:
        migration.require_newest(connection)
    return Ledger(engine, os.fsencode(settings.root.resolve()), 0, None)


def _require_file(url: sa.URL) -> None:
    try:
        if Path(url.database or "").is_file():
            return
    except PermissionError as error:
        raise ActionNeeded(
            f"database {url.database}: permission denied", "run it as the user of the service"
        ) from error
    raise ActionNeeded(f"database {url.database}: no ledger yet", "`gdwatch run` makes one")


def has_rows(settings: Settings) -> bool:
    """Whether there is a ledger with files in it.

    Raises ActionNeeded for a database that is not ours or not of this version.
    """
    url = url_of(settings)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return False
    engine = connect(url_of(settings), writable=False)
    try:
        with translated(engine), engine.connect() as connection:
            if migration.current(connection) is None:
                return False
            migration.require_newest(connection)
            return connection.execute(sa.select(files.c.id).limit(1)).first() is not None
    finally:
        engine.dispose()


def _root_id(transaction: Transaction, uuid: str) -> int:
    found = transaction.connection.execute(
        sa.select(roots.c.id).where(roots.c.uuid == uuid)
    ).scalar()
    if found is not None:
        return int(found)
    if transaction.connection.execute(sa.select(files.c.id).limit(1)).first() is not None:
        raise ActionNeeded(
            f"root-id {uuid}: the ledger has rows, and belongs to another root",
            "is the right disk mounted? put its root-id back, or set `database` elsewhere",
        )
    return transaction.insert(roots, uuid=uuid, first_used_at=now())
