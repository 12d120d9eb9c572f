"""`gdwatch db`: look after the ledger."""

from contextlib import closing, nullcontext
from typing import Any

import structlog

from gdwatch.commands.output import print_json
from gdwatch.files import escaping
from gdwatch.jobs import check as comparing
from gdwatch.ledger import migration
from gdwatch.ledger.connection import connect, translated, url_of
from gdwatch.ledger.opening import open_ledger
from gdwatch.root import lock, root_id
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
        damage = comparing.damage(ledger)
        missing = []
        for row in comparing.mark_missing(ledger, folders):
            log.info("file.missing", id=row.id, name=escaping.escape(row.path))
            missing.append(ledger.text(row.path))
        found = comparing.without_row(ledger, folders, settings.ignore)
        without_row = [ledger.text(path) for path in found]
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
