import contextlib
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gdwatch.errors import ActionNeeded
from gdwatch.ledger import opening, roots
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.tables import models
from tests import build
from tests.gdwatch.conftest import World

Shared = Path  # of a ledger that lies outside of all its roots


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return tmp_path / "shared.db"


@contextlib.contextmanager
def opened(root: Path, database: Shared, uuid: str, **how: bool) -> Iterator[Ledger]:
    if not root.exists():
        build.make_root(root)
    (root / ".gdwatch" / "root-id").write_text(f"{uuid}\n")
    settings = build.make_settings(root, database=f"sqlite:///{database}")
    with contextlib.closing(opening.open_ledger(settings, uuid, **how)) as ledger:
        yield ledger


def known(ledger: Ledger) -> dict[str, str]:
    """By root-id, where the ledger says that the root lies."""
    with ledger.reading() as connection:
        return {row["uuid"]: row["path"] for row in roots.all_roots(connection)}


def test_a_root_that_the_ledger_does_not_know_is_refused_unless_it_joins(
    tmp_path: Path, shared: Shared
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with opened(one, shared, "first", serve=True):
        refused = pytest.raises(ActionNeeded, match="the ledger belongs to another root")
        with refused as error, opened(two, shared, "second", serve=True):
            pass
        assert f"{socket.gethostname()}:{one}" in str(error.value)
        assert "`gdwatch db join`" in error.value.hint
        settings = build.make_settings(two, database=f"sqlite:///{shared}")
        with pytest.raises(ActionNeeded, match="belongs to another root"):
            opening.open_to_read(settings, "second")
        with opened(two, shared, "second", join=True) as joined:
            assert known(joined) == {"first": str(one), "second": str(two)}
    with opened(two, shared, "second", serve=True) as again:
        assert again.root_id == joined.root_id
    opening.open_to_read(settings, "second").close()


def test_a_root_id_that_is_made_anew_where_nothing_was_filed_stays_the_same_root(
    tmp_path: Path, shared: Shared
) -> None:
    with opened(tmp_path / "one", shared, "first", serve=True) as before:
        pass
    with opened(tmp_path / "one", shared, "anew", serve=True) as ledger:
        assert ledger.root_id == before.root_id
        assert known(ledger) == {"anew": str(tmp_path / "one")}


def test_a_root_that_has_moved_is_known_by_its_id(tmp_path: Path, shared: Shared) -> None:
    with opened(tmp_path / "one", shared, "first", serve=True) as before:
        pass
    (tmp_path / "one").rename(tmp_path / "moved")
    with opened(tmp_path / "moved", shared, "first", serve=True) as after:
        assert after.root_id == before.root_id
        assert known(after) == {"first": str(tmp_path / "moved")}


def test_a_copy_of_a_root_must_not_take_the_rows_of_the_first_for_its_own(
    tmp_path: Path, shared: Shared
) -> None:
    with opened(tmp_path / "one", shared, "first", serve=True):
        pass
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    refused = pytest.raises(ActionNeeded, match="has it, too, and shares this ledger")
    with refused, opened(tmp_path / "copy", shared, "first", serve=True):
        pass
    with refused, opened(tmp_path / "copy", shared, "first", join=True):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "one")
    with opened(tmp_path / "link", shared, "first", serve=True):
        pass


def test_a_copy_with_a_ledger_of_its_own_is_opened(world: World, tmp_path: Path) -> None:
    (world.root / ".gdwatch" / "root-id").write_text("a-root\n")
    world.ledger.close(last=True)
    shutil.copytree(world.root, tmp_path / "copy")
    settings = build.make_settings(tmp_path / "copy")
    opening.open_ledger(settings, "a-root", serve=True).close(last=True)


def test_no_root_is_made_where_the_ledger_knows_one_whose_disk_is_not_there(
    tmp_path: Path, shared: Shared
) -> None:
    with opened(tmp_path / "one", shared, "first", serve=True) as ledger, ledger.reading() as book:
        with pytest.raises(ActionNeeded, match="knows a root there") as error:
            roots.require_unknown(book, ledger.root)
        assert "else write first into .gdwatch/root-id" in error.value.hint
        roots.require_unknown(book, ledger.root + b"-two")


def test_two_roots_note_the_same_model_once(tmp_path: Path, shared: Shared) -> None:
    with (
        opened(tmp_path / "one", shared, "first", serve=True) as one,
        opened(tmp_path / "two", shared, "second", join=True) as two,
    ):
        ids = set()
        for ledger in (one, two, one):
            with ledger.writing() as transaction:
                ids.add(transaction.model_id(build.serving()))
        assert len(ids) == 1
        with one.reading() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(models)).scalar() == 1


def test_a_ledger_that_was_upgraded_for_another_root_ends_this_one(
    tmp_path: Path, shared: Shared
) -> None:
    with opened(tmp_path / "one", shared, "first", serve=True) as ledger:
        with contextlib.closing(sqlite3.connect(shared)) as book, book:
            book.execute("UPDATE alembic_version SET version_num = '9999'")
        newer = pytest.raises(ActionNeeded, match="9999 is newer than this gdwatch")
        with newer, ledger.writing():
            pass
        with newer, ledger.reading():
            pass
