"""`gdwatch db`: look after the ledger."""

from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from gdwatch.commands.asked import asked
from gdwatch.commands.output import print_json
from gdwatch.errors import HeldError
from gdwatch.files import escaping
from gdwatch.jobs import check as comparing
from gdwatch.jobs import prune as pruning
from gdwatch.ledger import migration, opening, roots
from gdwatch.ledger.connection import connect, translated, url_of
from gdwatch.ledger.opening import open_ledger, open_to_read
from gdwatch.ledger.shrink import shrink, size_of
from gdwatch.ledger.snapshot import write_snapshot
from gdwatch.ledger.transaction import now
from gdwatch.root import lock, root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import MIB, Settings

log = structlog.get_logger()


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


def join(settings: Settings) -> None:
    """Let the root share the ledger of other roots, and print all of them; it may be a new root.

    Raises GdwatchError.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    if root_id.is_missing(folders):
        opening.require_new_place(settings)
    root_id.make_state(folders, lambda: False)
    with lock.hold(folders.state, briefly=True):
        uuid = root_id.prepare(folders)
        ledger = open_ledger(settings, uuid, asked("join"), join=True)
        with closing(ledger), ledger.reading() as connection:
            for each in roots.all_roots(connection):
                own = "  this root" if each["id"] == ledger.root_id else ""
                print(f"{each['id']}  {roots.place_of(each)}{own}")


def snapshot(settings: Settings, target: Path) -> None:
    """Write a checked copy of the ledger, and print what it holds. Raises GdwatchError."""
    written = write_snapshot(url_of(settings), target)
    rows = ", ".join(f"{count} {name}" for name, count in written.rows.items() if count)
    print(f"{target}: version {written.version}, {rows}")


def prune(settings: Settings, older_than: str, *, yes: bool) -> None:
    """Remove old rows, or without `yes` say how many there are. Raises GdwatchError."""
    before = pruning.before(older_than, now())
    folders = Folders.of(settings)
    root_id.require_own(folders)
    uuid = root_id.read_id(folders)
    opened = open_ledger(settings, uuid, asked("prune")) if yes else open_to_read(settings, uuid)
    with closing(opened) as ledger:
        old = pruning.count(ledger, before)
        if yes:
            old = replace(old, rows=pruning.prune(ledger, before))
    print(f"{'removed' if yes else 'would remove'} {old.rows} rows of files last filed before "
          f"{before:%Y-%m-%d}; {old.corrected} that a person has corrected stay")  # fmt: skip
    if yes:
        _shrink(settings)
    else:
        print("the photographs stay where they are; add --yes to remove the rows")


def _shrink(settings: Settings) -> None:
    """Give the room of removed rows back, if it is worth it and no service runs."""
    url = url_of(settings)
    before = size_of(url)
    if not before.is_worth_shrinking:
        return
    try:
        with lock.hold(Folders.of(settings).state, briefly=True):
            after = shrink(url)
    except HeldError:
        print(
            f"{before.free // MIB} of the ledger's {before.bytes // MIB} MiB are free for new "
            "rows; to give them back to the disk, stop the service and call this again"
        )
    else:
        print(f"the ledger's file had {before.bytes // MIB} MiB, and has {after.bytes // MIB} now")


def check(settings: Settings, *, mark: bool, force: bool, json_: bool) -> int:
    """Compare rows with files, and name all that differs.

    Returns 1 if the database is damaged, a file has no row or a whole folder is away, else 0: that
    people take files away or move them by hand is no fault.

    mark: write it down, too. force: even if a whole folder is away.

    Raises GdwatchError.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    uuid = root_id.read_id(folders)
    opened = open_ledger(settings, uuid, asked("check")) if mark else open_to_read(settings, uuid)
    with closing(opened) as ledger:
        damage = comparing.damage(ledger)
        compared = comparing.compare(ledger, folders, settings)
        if mark:
            comparing.mark(ledger, folders, settings, compared, force=force)
        answer: dict[str, Any] = {
            "root": escaping.escape(folders.root),
            "damage": damage,
            "missing": [ledger.text(row.path) for row in compared.missing],
            "back": [ledger.text(each.path) for each in compared.found if each.is_back],
            "moved": {
                ledger.text(each.row.path): ledger.text(each.path)
                for each in compared.found
                if not each.is_back
            },
            "without_row": [ledger.text(path) for path in compared.without_row],
            "away": [ledger.text(path) for path in compared.away],
        }
    if json_:
        print_json(answer)
    else:
        print(*_lines(answer), sep="\n", flush=True)
    return 1 if damage or compared.without_row or compared.away else 0


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    yield f"root         {answer['root']}"
    yield f"database     {'; '.join(answer['damage']) or 'ok'}"
    for name, title in (
        ("missing", "taken away"),
        ("back", "back"),
        ("moved", "moved"),
        ("without_row", "without row"),
        ("away", "folder away"),
    ):
        listed = answer[name]
        yield f"{title:<12} {len(listed)}"
        pairs = listed.items() if isinstance(listed, dict) else ((path, None) for path in listed)
        yield from (f"  {path}" if new is None else f"  {path} → {new}" for path, new in pairs)
    if answer["without_row"]:
        yield "`gdwatch reprocess` gives them rows"
