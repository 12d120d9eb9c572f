"""`gdwatch db`: look after the ledger."""

import os
from collections.abc import Iterator
from contextlib import closing, nullcontext
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import structlog

from gdwatch.commands.output import print_json
from gdwatch.files import escaping
from gdwatch.ledger import migration, queries
from gdwatch.ledger.connection import connect, translated, url_of
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.opening import open_ledger
from gdwatch.root import lock, root_id
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

log = structlog.get_logger()

_SHOWN = 20


def upgrade(settings: Settings) -> None:
    """Upgrade the ledger to this program's schema version, and print it. Raises GdwatchError."""
    folders = Folders.of(settings)
    root_id.require_own(folders)
    engine = connect(url_of(settings), writable=True)
    # A service of the old version must not write during the upgrade, nor after it.
    is_root = folders.state.is_dir()
    with lock.hold(folders.state, briefly=True) if is_root else nullcontext(), translated(engine):
        snapshot = migration.upgrade_with_snapshot(engine)
    if snapshot is not None:
        log.info("db.upgraded", snapshot=str(snapshot))
    print(f"version {migration.newest()}")


def current(settings: Settings) -> None:
    """Print the ledger's schema version and this program's. Raises GdwatchError."""
    engine = connect(url_of(settings), writable=False)
    with translated(engine), engine.connect() as connection:
        found = migration.current(connection)
    print(f"ledger {found or 'none'}, this gdwatch writes {migration.newest()}")


def check(settings: Settings, *, json_: bool) -> int:
    """Compare rows with files; return 1 if the database is damaged or a file has no row, else 0.

    Rows whose files people have taken away are marked `missing`; that is no fault.

    Raises GdwatchError.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    with closing(open_ledger(settings, root_id.read_id(folders))) as ledger:
        damage = _find_damage(ledger)
        missing = _mark_missing(ledger, folders)
        found = _find_rowless(ledger, folders, settings.ignore)
        without_row = [escaping.relative_text(path, ledger.root) for path in found]
    answer: dict[str, Any] = {
        "damage": damage,
        "missing": missing,
        "without_row": without_row,
    }
    if json_:
        print_json(answer)
    else:
        print(f"database     {'; '.join(damage) or 'ok'}")
        print(f"taken away   {len(missing)}")
        print(f"without row  {len(without_row)}")
        for path in without_row[:_SHOWN]:
            print(f"  {path}")
        if without_row:
            print("`gdwatch reprocess` gives them rows", flush=True)
    return 1 if damage or without_row else 0


def _find_damage(ledger: Ledger) -> list[str]:
    if ledger.engine.dialect.name != "sqlite":
        return []
    with ledger.reading() as connection:
        answers = list(connection.exec_driver_sql("PRAGMA quick_check").scalars())
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    damage = [answer for answer in answers if answer != "ok"]
    return damage + [f"row {row[1]} of {row[0]} names a row that is not there" for row in broken]


def _mark_missing(ledger: Ledger, folders: Folders) -> list[str]:
    found = []
    with Handles(folders) as handles:
        for row in queries.filed_rows(ledger, None, None):
            if not handles.is_file(row.path):
                found.append(row)
    for row in found:
        with ledger.writing() as transaction:
            transaction.mark_missing([row])
        log.info("file.missing", id=row.id, name=escaping.escape(row.path))
    return [escaping.relative_text(row.path, ledger.root) for row in found]


def _find_rowless(ledger: Ledger, folders: Folders, ignored: tuple[str, ...]) -> Iterator[bytes]:
    """Yield the files of the answer folders without a row. ignored: patterns of names left out."""
    for base in folders.answers.values():
        for folder, _, files in os.walk(base):
            paths = {
                folder + b"/" + name
                for name in files
                if not any(fnmatch(os.fsdecode(name), pattern) for pattern in ignored)
            }
            paths = {path for path in paths if not Path(os.fsdecode(path)).is_symlink()}
            with ledger.writing() as transaction:
                known = set(transaction.at(paths))
                known |= {path for path in paths if transaction.is_being_moved(path)}
            yield from sorted(paths - known)
