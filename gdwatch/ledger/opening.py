"""Opening the ledger: as the service, as a command that writes, or read-only."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from gdwatch.errors import ActionNeeded, Trouble
from gdwatch.ledger import migration, roots
from gdwatch.ledger.connection import (
    connect,
    device_and_inode,
    take_turn,
    translated,
    url_of,
    use_write_ahead_log,
)
from gdwatch.ledger.ledger import Command, Ledger
from gdwatch.ledger.tables import commands, files
from gdwatch.ledger.transaction import Transaction, now
from gdwatch.settings import Settings


def open_ledger(
    settings: Settings,
    root_uuid: str,
    command: Command | None = None,
    *,
    serve: bool = False,
    join: bool = False,
) -> Ledger:
    """Open the ledger for writing.

    root_uuid: the content of ROOT/.gdwatch/root-id.
    command: gets a row in `commands`, which what it decides, moves and corrects refers to.
    serve: open as the service does: check a SQLite file first, create a missing ledger, and use
        write-ahead logging.
    join: let the root share the ledger of others.

    Raises ActionNeeded for another program's database or, without `join`, another root's, another
    schema version, or a file that is corrupt or cannot be written; Trouble for what may pass.
    """
    engine = connect(url_of(settings), writable=True)
    root = os.fsencode(settings.root.resolve())
    try:
        if serve:
            _require_sound(settings)
        with translated(engine):
            with engine.begin() as connection:
                take_turn(connection, 0)  # of services that start at once, one makes the tables
                if serve and migration.current(connection) is None:
                    migration.upgrade(connection)
                migration.require_newest(connection)
            if serve and engine.dialect.name == "sqlite":
                use_write_ahead_log(engine)
            identity = device_and_inode(engine)
            ledger = Ledger(engine, root, 0, identity)
            with ledger.writing() as transaction:
                root_id = roots.own(transaction, root_uuid, join=join)
                command_id = _command_id(transaction, root_id, command)
    except Trouble as trouble:
        is_file = engine.dialect.name == "sqlite"  # a server may only have not started yet
        if is_file and trouble.reason in ("database_readonly", "database_gone"):
            raise ActionNeeded(trouble.message, trouble.hint) from trouble
        raise
    return Ledger(engine, root, root_id, identity, command_id)


def written_by(transaction: Transaction, command: Command) -> Transaction:
    """Return the open transaction for another command, which gets its row in `commands`."""
    return replace(transaction, command_id=_command_id(transaction, transaction.root_id, command))


def asked_by(ledger: Ledger, command: Command) -> Ledger:
    """Return the open ledger for another command, which gets its row in `commands`.

    Raises Trouble and ActionNeeded.
    """
    with ledger.writing() as transaction:
        return replace(ledger, command_id=_command_id(transaction, ledger.root_id, command))


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

    root_uuid: the content of ROOT/.gdwatch/root-id; None: no root's rows are asked for.

    Raises ActionNeeded if there is none, it has another schema version, or belongs to other roots;
    Trouble.
    """
    url = url_of(settings)
    if url.get_backend_name() == "sqlite":
        require_file(url)
    engine = connect(url_of(settings), writable=False)
    with translated(engine), engine.connect() as connection:
        migration.require_newest(connection)
        root_id = 0 if root_uuid is None else roots.find(connection, root_uuid) or 0
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


def require_new_place(settings: Settings) -> None:
    """Raise ActionNeeded if there is no ledger, or it knows a root at this place; Trouble."""
    with closing(open_to_read(settings)) as ledger, ledger.reading() as connection:
        roots.require_unknown(connection, ledger.root)


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
