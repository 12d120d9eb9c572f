"""Schema versions of the ledger: recognising, creating and upgrading a database."""

import functools
import glob
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.files.atomic_write import PART, replacing_durably
from gdwatch.ledger.connection import name_of, take_turn

APPLICATION_ID = 0x67647731  # "gdw1"
_SNAPSHOT = ".snapshot"

_PACKAGE = Path(__file__).parents[1]
# A wheel has the migrations in the package, a checkout beside it.
MIGRATIONS = next(
    folder
    for folder in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations")
    if folder.is_dir()
)


@functools.cache
def newest() -> str:
    """Return the schema version that this program writes."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def current(connection: Connection) -> str | None:
    """Return the ledger's schema version; None for an empty database.

    Raises ActionNeeded for another program's database, or a ledger that has lost its version.
    """
    version = MigrationContext.configure(connection).get_current_revision()
    name = name_of(connection.engine)
    if connection.dialect.name == "sqlite":
        found = connection.execute(text("PRAGMA application_id")).scalar_one()
        empty = not inspect(connection).get_table_names()
        if found != APPLICATION_ID and not (empty and found == 0):
            raise ActionNeeded(
                f"database {name}: another program's (application_id {found:#010x})",
                "set `database` to a file of its own",
            )
        if version is None and not empty:
            raise ActionNeeded(
                f"database {name}: a ledger without its version", "put a snapshot in its place"
            )
    return version


def require_newest(connection: Connection) -> None:
    """Raise ActionNeeded unless the ledger has the schema version that this program writes."""
    version = current(connection)
    if version == newest():
        return
    name = name_of(connection.engine)
    if version is None:
        raise ActionNeeded(f"database {name}: no ledger yet", "`gdwatch run` makes one")
    if version in _known_versions():
        raise ActionNeeded(
            f"database {name}: version {version}, this gdwatch writes {newest()}",
            "run `gdwatch db upgrade` (it takes a snapshot first)",
        )
    raise ActionNeeded(
        f"database {name}: version {version} is newer than this gdwatch, which writes {newest()}",
        "install the gdwatch that wrote it, or a newer one",
    )


def require_unchanged(connection: Connection) -> None:
    """Raise ActionNeeded if the ledger was upgraded, for another root, since it was opened."""
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found != newest():
        require_newest(connection)


def require_sound(connection: Connection) -> None:
    """Raise ActionNeeded for a corrupt SQLite file, by `PRAGMA quick_check`."""
    if connection.dialect.name != "sqlite":
        return
    answer = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    if answer != "ok":
        raise ActionNeeded(
            f"database {name_of(connection.engine)}: is corrupt ({answer.rpartition(chr(10))[2]})",
            "put a snapshot in its place; the photographs are untouched",
        )


def upgrade(connection: Connection) -> None:
    """Migrate an empty or older ledger to the newest version, in the caller's transaction."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def upgrade_with_snapshot(engine: Engine) -> Path | None:
    """Take a snapshot and upgrade an older ledger; return the snapshot's path.

    Returns None where no snapshot is taken: the ledger is up to date or empty, or on a server.
    Safe to repeat after a crash: the ledger is then either unchanged or upgraded.

    Raises ActionNeeded for another program's database, a newer version or a corrupt file, and
    GdwatchError if the snapshot fails.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # A migration may recreate a table: dropping the old one must not cascade to the rows
            # that refer to it. SQLite ignores this pragma inside a transaction.
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.commit()
        # One transaction for both: a write between them would be missing from the snapshot.
        with connection.begin():
            take_turn(connection, 0)
            version = current(connection)
            if version == newest():
                return None
            if version is not None and version not in _known_versions():
                require_newest(connection)
            require_sound(connection)
            if version is not None and engine.dialect.name == "postgresql":
                # Services of other roots may be running: each transaction of theirs reads the
                # version first, so those under way end before, and the others find the new one.
                connection.exec_driver_sql("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
            snapshot = _snapshot_before_upgrade(engine, version)
            upgrade(connection)
    return snapshot


def _snapshot_before_upgrade(engine: Engine, version: str | None) -> Path | None:
    if version is None or engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    database = Path(engine.url.database)
    # Left by killed upgrades: we hold the write lock, so no other upgrade is running.
    for part in database.parent.glob(f"{glob.escape(database.name)}.*{_SNAPSHOT}{PART}"):
        part.unlink()
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    snapshot = database.with_name(f"{database.name}.{version}.{moment}{_SNAPSHOT}")
    take_snapshot(database, snapshot)
    return snapshot


def take_snapshot(database: Path, target: Path) -> None:
    """Write a complete, checked, durable copy of a SQLite ledger; on failure `target` is not made.

    Raises GdwatchError.
    """
    try:
        with replacing_durably(target) as aside:  # VACUUM INTO does not sync its output
            with closing(sqlite3.connect(database)) as source:
                source.execute("VACUUM INTO ?", (str(aside),))
            with closing(sqlite3.connect(aside)) as copy:
                answer = copy.execute("PRAGMA quick_check").fetchone()[0]
            if answer != "ok":
                raise GdwatchError(f"snapshot of {database}: {answer}", "look after the disk")
    except (sqlite3.Error, OSError) as error:
        raise GdwatchError(f"snapshot {target}: {error}", "look after its disk") from error


def _known_versions() -> set[str]:
    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
