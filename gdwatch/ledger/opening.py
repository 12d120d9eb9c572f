"""Opening the ledger: as the service, as a command that writes, or read-only."""

import os
import socket
from pathlib import Path

import sqlalchemy as sa

from gdwatch.errors import ActionNeeded, Trouble
from gdwatch.files import escaping
from gdwatch.ledger import migration
from gdwatch.ledger.connection import (
    connect,
    device_and_inode,
    translated,
    url_of,
    use_write_ahead_log,
)
from gdwatch.ledger.ledger import Command, Ledger
from gdwatch.ledger.tables import commands, files, roots
from gdwatch.ledger.transaction import Transaction, now
from gdwatch.settings import Settings


def open_ledger(
    settings: Settings, root_uuid: str, command: Command | None = None, *, serve: bool = False
) -> Ledger:
    """Open the ledger for writing.

    root_uuid: the content of ROOT/.gdwatch/root-id.
    command: gets a row in `commands`, which what it decides, moves and corrects refers to.
    serve: open as the service does: check a SQLite file first, create a missing ledger, and use
        write-ahead logging.

    Raises ActionNeeded for another program's or another root's database, another schema version,
    or a file that is corrupt or cannot be written; Trouble for what may pass.
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
                _note_place(transaction, root_id)
                command_id = _command_id(transaction, root_id, command)
    except Trouble as trouble:
        is_file = engine.dialect.name == "sqlite"  # a server may only have not started yet
        if is_file and trouble.reason in ("database_readonly", "database_gone"):
            raise ActionNeeded(trouble.message, trouble.hint) from trouble
        raise
    return Ledger(engine, root, root_id, identity, command_id)


def _require_sound(settings: Settings) -> None:
    """Raise ActionNeeded for a corrupt SQLite file or another program's, without changing it.

    It is opened read-only if possible: closing a writable connection would checkpoint the
    write-ahead log that a crash has left.
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
            # After a crash a hot journal may have to be rolled back before the file can be read.
            if writable or trouble.reason != "database_readonly":
                raise
        finally:
            engine.dispose()


def open_to_read(settings: Settings, root_uuid: str | None = None) -> Ledger:
    """Open the ledger read-only, whether the service runs or not.

    root_uuid: the content of ROOT/.gdwatch/root-id; None: the only root that the ledger knows.

    Raises ActionNeeded if there is none, or it has another schema version; Trouble.
    """
    url = url_of(settings)
    if url.get_backend_name() == "sqlite":
        require_file(url)
    engine = connect(url_of(settings), writable=False)
    with translated(engine), engine.connect() as connection:
        migration.require_newest(connection)
        query = sa.select(roots.c.id).order_by(roots.c.id)
        if root_uuid is not None:
            query = query.where(roots.c.uuid == root_uuid)
        root_id = connection.execute(query).scalar() or 0
    return Ledger(engine, os.fsencode(settings.root.resolve()), root_id, None)


def require_file(url: sa.URL) -> None:
    """Raise ActionNeeded where the SQLite file is not there, or may not be looked at."""
    try:
        if Path(url.database or "").is_file():
            return
    except PermissionError as error:
        raise ActionNeeded(
            f"database {url.database}: permission denied", "run it as the user of the service"
        ) from error
    raise ActionNeeded(f"database {url.database}: no ledger yet", "`gdwatch run` makes one")


def has_rows(settings: Settings) -> bool:
    """Return whether a ledger exists and its table `files` has rows.

    Raises ActionNeeded for another program's database or another schema version; Trouble.
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


def _note_place(transaction: Transaction, root_id: int) -> None:
    """Note where the root lies, for those who read its relative paths elsewhere."""
    place = {"host": socket.gethostname(), "path": escaping.escape(transaction.root)}
    elsewhere = sa.or_(*(roots.c[name].is_distinct_from(value) for name, value in place.items()))
    transaction.connection.execute(
        sa.update(roots).where(roots.c.id == root_id, elsewhere).values(**place)
    )


def _command_id(transaction: Transaction, root_id: int, command: Command | None) -> int | None:
    if command is None:
        return None
    return transaction.insert(
        commands,
        root_id=root_id,
        name=command.name,
        arguments=command.arguments,
        by=command.by,
        started_at=now(),
    )
