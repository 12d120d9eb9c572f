import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.ledger import migration
from gdwatch.ledger.connection import url_of
from gdwatch.ledger.snapshot import write_snapshot
from tests import build
from tests.gdwatch.conftest import World
from tests.gdwatch.ledger.test_migration import ledger_0001


def ask(file: Path, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def test_a_snapshot_holds_every_row_while_the_ledger_is_in_use(
    world: World, tmp_path: Path
) -> None:
    world.record_file("a.jpg")  # it stands in the write-ahead log as yet
    (world.root / "results.db").chmod(0o640)
    with world.ledger.writing() as transaction:  # a writer does not keep it waiting
        transaction.connection.exec_driver_sql("UPDATE files SET name = 'other'")
        snapshot = write_snapshot(url_of(world.settings), tmp_path / "copy.db")
    assert snapshot.version == migration.newest()
    assert (snapshot.rows["files"], snapshot.rows["results"]) == (1, 1)
    assert ask(tmp_path / "copy.db", "SELECT name FROM files") == [("a.jpg",)]
    assert ask(tmp_path / "copy.db", "PRAGMA application_id") == [(migration.APPLICATION_ID,)]
    assert ask(tmp_path / "copy.db", "PRAGMA journal_mode") == [("delete",)]
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]


def test_a_ledger_of_an_earlier_version_can_be_copied(root: Path, tmp_path: Path) -> None:
    ledger_0001(root).dispose()
    snapshot = write_snapshot(url_of(build.make_settings(root)), tmp_path / "copy.db")
    assert snapshot.version == "0001"
    assert snapshot.rows["files"] == 11


def test_a_file_that_is_there_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for target in (tmp_path / "mine", world.root / "results.db", tmp_path):
        with pytest.raises(GdwatchError, match="is there already; name a new file"):
            write_snapshot(url_of(world.settings), target)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_folder_that_is_not_there_and_a_full_disk_are_one_line(
    world: World, tmp_path: Path
) -> None:
    with pytest.raises(GdwatchError, match=r"none/copy.db: .*look after its folder and disk"):
        write_snapshot(url_of(world.settings), tmp_path / "none" / "copy.db")
    assert not (tmp_path / "none").exists()


def test_without_a_ledger_there_is_nothing_to_copy(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ActionNeeded, match="no ledger yet"):
        write_snapshot(url_of(build.make_settings(root)), tmp_path / "copy.db")
    sqlite3.connect(root / "results.db").close()
    with pytest.raises(ActionNeeded, match="no ledger yet"):
        write_snapshot(url_of(build.make_settings(root)), tmp_path / "copy.db")
    assert not os.path.exists(tmp_path / "copy.db")


def test_a_damaged_ledger_is_not_copied(world: World, tmp_path: Path) -> None:
    for number in range(200):
        world.record_file(f"{number}.jpg")
    world.ledger.close(last=True)
    content = bytearray((world.root / "results.db").read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    (world.root / "results.db").write_bytes(content)
    with pytest.raises(GdwatchError):
        write_snapshot(url_of(world.settings), tmp_path / "copy.db")
    assert list(tmp_path.glob("copy*")) == []


def test_for_a_server_the_line_names_its_own_program(tmp_path: Path) -> None:
    url = sa.engine.make_url("postgresql://me:secret@db/photographs")
    with pytest.raises(GdwatchError, match="pg_dump") as raised:
        write_snapshot(url, tmp_path / "copy")
    assert "secret" not in str(raised.value)
