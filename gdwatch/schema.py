"""Whether a database is a ledger of ours, of which version, and how it is made and upgraded."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from gdwatch.errors import ActionNeeded, GdwatchError

APPLICATION_ID = 0x67647731  # "gdw1"

_HERE = Path(__file__).parent  # in a wheel beside this file; in a checkout at the top
MIGRATIONS = next(d for d in (_HERE / "migrations", _HERE.parent / "migrations") if d.is_dir())


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
    if connection.dialect.name == "sqlite":
        found = connection.execute(text("PRAGMA application_id")).scalar_one()
        empty = not inspect(connection).get_table_names()
        if found != APPLICATION_ID and not (empty and found == 0):
            raise ActionNeeded(
                f"database {_shown(connection)}: another program's (application_id {found:#010x})",
                "set `database` to a file of its own",
            )
    return version


def require_newest(connection: Connection) -> None:
    """Raise ActionNeeded unless the ledger has exactly the version that this program writes."""
    version = current(connection)
    if version == newest():
        return
    name = _shown(connection)
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


def upgrade(connection: Connection) -> None:
    """Bring an empty or older ledger to the newest version, in the caller's transaction."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def upgrade_with_snapshot(engine: Engine) -> Path | None:
    """Upgrade an older ledger after a snapshot; returns where the snapshot lies, if one was due.

    Raises ActionNeeded for a database that is not ours or newer.
    """
    with engine.connect() as connection:
        version = current(connection)
        if version == newest():
            return None
        if version is not None and version not in _known():
            require_newest(connection)
        name = engine.url.database
    snapshot = None
    if version is not None and engine.dialect.name == "sqlite" and name:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        snapshot = Path(f"{name}.{version}.{moment}.snapshot")
        take_snapshot(Path(name), snapshot)
    with engine.begin() as connection:
        upgrade(connection)
    return snapshot


def take_snapshot(database: Path, target: Path) -> None:
    """Write a whole, checked copy of a SQLite ledger, or nothing under that name."""
    aside = target.with_name(target.name + ".part")
    aside.unlink(missing_ok=True)
    with sqlite3.connect(database) as source:
        source.execute("VACUUM INTO ?", (str(aside),))
    with sqlite3.connect(aside) as copy:
        answer = copy.execute("PRAGMA quick_check").fetchone()[0]
    if answer != "ok":
        aside.unlink()
        raise GdwatchError(f"snapshot of {database}: {answer}", "look after the disk")
    aside.replace(target)


def _known() -> set[str]:
    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def _shown(connection: Connection) -> str:
    return connection.engine.url.render_as_string(hide_password=True)
