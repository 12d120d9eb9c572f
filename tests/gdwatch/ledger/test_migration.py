import contextlib
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from gdwatch.errors import ActionNeeded
from gdwatch.ledger import connection, migration
from tests import build
from tests.gdwatch.conftest import World


def test_an_empty_database_has_no_version_and_a_migrated_one_the_newest() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        assert migration.current(connection) is None
        with pytest.raises(ActionNeeded, match="no ledger yet"):
            migration.require_newest(connection)
        migration.upgrade(connection)
        assert migration.current(connection) == migration.newest()
        migration.require_newest(connection)


def test_an_upgrade_that_fails_leaves_nothing_behind(root: Path) -> None:
    engine = connection.connect(connection.url_of(build.make_settings(root)), writable=True)

    def upgrade_and_fail() -> None:
        with engine.begin() as connection:
            migration.upgrade(connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        upgrade_and_fail()
    engine.dispose()
    assert build.query(root, "SELECT * FROM sqlite_master") == []
    assert build.query(root, "PRAGMA application_id") == [{"application_id": 0}]


def test_nothing_is_done_to_a_ledger_of_the_newest_version(world: World) -> None:
    assert migration.upgrade_with_snapshot(world.ledger.engine) is None


def test_a_snapshot_is_a_whole_ledger(world: World, tmp_path: Path) -> None:
    world.record_file("a.jpg")  # it stands in the write-ahead log as yet
    migration.take_snapshot(world.root / "results.db", tmp_path / "snapshot.db")
    assert [path.name for path in tmp_path.glob("snapshot*")] == ["snapshot.db"]
    with contextlib.closing(sqlite3.connect(tmp_path / "snapshot.db")) as connection:
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (1,)
        assert connection.execute("PRAGMA application_id").fetchone() == (migration.APPLICATION_ID,)


def test_the_part_of_an_older_snapshot_is_no_obstacle(world: World, tmp_path: Path) -> None:
    (tmp_path / "snapshot.db.part").write_bytes(b"half")
    migration.take_snapshot(world.root / "results.db", tmp_path / "snapshot.db")
    assert not (tmp_path / "snapshot.db.part").exists()
