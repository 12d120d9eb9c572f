import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gdwatch.errors import Trouble
from gdwatch.ledger.connection import url_of
from gdwatch.ledger.shrink import shrink, size_of
from gdwatch.root import lock
from gdwatch.settings import MIB
from tests import build
from tests.build import gdwatch
from tests.gdwatch.conftest import World


def leave_room(root: Path) -> None:
    """Let three MiB and more of the ledger's file be free, as after many rows have gone."""
    with closing(sqlite3.connect(root / "results.db")) as connection:
        connection.execute("CREATE TABLE many (row BLOB)")
        connection.execute("INSERT INTO many VALUES (zeroblob(4000000))")
        connection.execute("DROP TABLE many")
        connection.commit()


def test_the_room_of_removed_rows_is_given_back_beside_readers(world: World) -> None:
    world.record_file("a.jpg")
    before = world.rows()
    assert not size_of(url_of(world.settings)).is_worth_shrinking
    leave_room(world.root)
    size = size_of(url_of(world.settings))
    assert size.is_worth_shrinking
    assert shrink(url_of(world.settings)).bytes == size.bytes - size.free
    file = world.root / "results.db"
    assert file.stat().st_size == size.bytes - size.free
    assert world.rows() == before
    assert build.query(world.root, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert world.record_file("b.jpg").id > before[-1]["id"]


def test_a_ledger_that_is_written_to_is_left_as_it_is(world: World) -> None:
    leave_room(world.root)
    with closing(sqlite3.connect(world.root / "results.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(Trouble, match="is locked by another program"):
            shrink(url_of(world.settings))
    assert size_of(url_of(world.settings)).is_worth_shrinking


def test_prune_gives_it_back_unless_a_service_runs(root: Path) -> None:
    assert gdwatch("init", "--root", root, cwd=root).returncode == 0
    assert gdwatch("run", "--once", "--root", root, cwd=root).returncode == 0
    leave_room(root)
    prune = ("db", "prune", "--older-than", "365d", "--yes", "--root", root)
    with lock.hold(root / ".gdwatch"):
        done = gdwatch(*prune, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "3 of the ledger's" in done.stdout
    assert "stop the service and call this again" in done.stdout
    done = gdwatch(*prune, cwd=root)
    assert "the ledger's file had" in done.stdout
    assert (root / "results.db").stat().st_size < MIB
    assert "ledger's file" not in gdwatch(*prune, cwd=root).stdout
