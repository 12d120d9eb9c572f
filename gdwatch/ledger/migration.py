"""Whether a database is a ledger of ours, of which version, and how it is made and upgraded."""

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
from gdwatch.ledger.connection import name_of

APPLICATION_ID = 0x67647731  # "gdw1"
_SNAPSHOT = ".snapshot"

_PACKAGE = Path(__file__).parents[1]
# In a wheel they lie in the package, in a checkout beside it.
MIGRATIONS = next(
    folder
    for folder in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations")
    if folder.is_dir()
)


def newest() -> str:
    """The version that this program writes."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def current(connection: Connection) -> str | None:
    """The version of the ledger; None for an empty database.

    Raises ActionNeeded for the database of another program.
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
    """Raise ActionNeeded unless the ledger has exactly the version that this program writes."""
    version = current(connection)
    if version == newest():
        return
    name = name_of(connection.engine)
    if version is None:
        raise ActionNeeded(f"database {name}: no ledger yet", "`gdwatch run` makes one")
    if version in _known():
        raise ActionNeeded(
            f"database {name}: version {version}, this gdwatch writes {newest()}",
            "run `gdwatch db upgrade` (it takes a snapshot first)",
        )
    raise ActionNeeded(
        f"database {name}: version {version} is newer than this gdwatch, which writes {newest()}",
        "install the gdwatch that wrote it, or a newer one",
    )


def require_sound(connection: Connection) -> None:
    """Raise ActionNeeded for a SQLite file whose pages do not fit together."""
    if connection.dialect.name != "sqlite":
        return
    answer = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    if answer != "ok":
        raise ActionNeeded(
            f"database {name_of(connection.engine)}: is corrupt ({answer.rpartition(chr(10))[2]})",
            "put a snapshot in its place; the photographs are untouched",
        )


def upgrade(connection: Connection) -> None:
    """Bring an empty or older ledger to the newest version, in the caller's transaction."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def upgrade_with_snapshot(engine: Engine) -> Path | None:
    """Upgrade an older ledger after a snapshot; returns where the snapshot lies, if one was due.

    Safe to repeat after a crash anywhere: the ledger is then what it was, or upgraded.

    Raises ActionNeeded for a database that is not ours or newer.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # A migration may make a table anew: dropping the old one must not take the rows that
            # refer to it along. Outside a transaction, or it has no effect.
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.commit()
        # One transaction for both: what is written between them would be missing in the snapshot.
        with connection.begin():
            version = current(connection)
            if version == newest():
                return None
            if version is not None and version not in _known():
                require_newest(connection)
            require_sound(connection)
            snapshot = _snapshot_before_upgrade(engine, version)
            upgrade(connection)
    return snapshot


def _snapshot_before_upgrade(engine: Engine, version: str | None) -> Path | None:
    if version is None or engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    database = Path(engine.url.database)
    # What killed upgrades have left; the write lock says that no other one runs now.
    for part in database.parent.glob(f"{glob.escape(database.name)}.*{_SNAPSHOT}{PART}"):
        part.unlink()
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    snapshot = database.with_name(f"{database.name}.{version}.{moment}{_SNAPSHOT}")
    take_snapshot(database, snapshot)
    return snapshot


def take_snapshot(database: Path, target: Path) -> None:
    """Write a whole, checked, durable copy of a SQLite ledger, or nothing under that name."""
    try:
        with replacing_durably(target) as aside:  # SQLite leaves that to whoever wants the copy
            with closing(sqlite3.connect(database)) as source:
                source.execute("VACUUM INTO ?", (str(aside),))
            with closing(sqlite3.connect(aside)) as copy:
                answer = copy.execute("PRAGMA quick_check").fetchone()[0]
            if answer != "ok":
                raise GdwatchError(f"snapshot of {database}: {answer}", "look after the disk")
    except (sqlite3.Error, OSError) as error:
        raise GdwatchError(f"snapshot {target}: {error}", "look after its disk") from error


def _known() -> set[str]:
    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
