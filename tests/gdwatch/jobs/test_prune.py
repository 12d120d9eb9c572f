from datetime import datetime, timedelta

import pytest

from gdwatch.errors import UsageError
from gdwatch.jobs import prune
from gdwatch.ledger.transaction import now
from tests import build
from tests.gdwatch.conftest import World, asking

LONG_AGO = "2020-01-01 00:00:00.000000"


def age(world: World, *ids: int) -> None:
    with world.ledger.writing() as transaction:
        for file_id in ids:
            transaction.connection.exec_driver_sql(
                f"UPDATE files SET filed_at = '{LONG_AGO}', moved_at = '{LONG_AGO}' "
                f"WHERE id = {file_id}"
            )


def year_ago() -> datetime:
    return prune.before("365d", now())


def test_old_rows_go_with_all_that_belongs_to_them_and_the_files_stay(world: World) -> None:
    old, young = world.record_file("old.jpg"), world.record_file("young.jpg")
    world.file()
    age(world, old.id)
    assert prune.count(world.ledger, year_ago()) == prune.Old(rows=1, corrected=0)
    assert prune.prune(world.ledger, year_ago()) == 1
    assert [row["id"] for row in world.rows()] == [young.id]
    for table in ("results", "moves"):
        rows = build.query(world.root, f"SELECT file_id FROM {table}")
        assert {row["file_id"] for row in rows} == {young.id}
    assert len(build.query(world.root, "SELECT id FROM batches")) == 2
    assert build.query(world.root, "PRAGMA foreign_key_check") == []
    assert (world.root / "male" / "old.jpg").exists()
    assert prune.prune(world.ledger, year_ago()) == 0


def test_an_id_that_was_pruned_is_not_given_again(world: World) -> None:
    entry = world.record_file("old.jpg")
    world.file()
    age(world, entry.id)
    prune.prune(world.ledger, year_ago())
    assert world.record_file("new.jpg").id > entry.id


def test_a_row_on_which_a_person_has_spoken_stays(world: World) -> None:
    entry = world.record_file("a.jpg")
    world.file()
    age(world, entry.id)
    with asking(world, "correct") as asked, asked.ledger.writing() as transaction:
        transaction.connection.exec_driver_sql(
            f"INSERT INTO corrections (file_id, label, by, at, how) "
            f"VALUES ({entry.id}, 'female', 'me', '{LONG_AGO}', 'command')"
        )
    assert prune.count(world.ledger, year_ago()) == prune.Old(rows=0, corrected=1)
    assert prune.prune(world.ledger, year_ago()) == 0


def test_a_row_whose_file_is_still_to_be_moved_stays(world: World) -> None:
    entry = world.record_file("a.jpg")
    world.file()
    age(world, entry.id)
    with world.ledger.writing() as transaction:
        transaction.update(entry.id, state="recorded", source_path="male/a.jpg")
    assert prune.prune(world.ledger, year_ago()) == 0


def test_a_copy_outlives_the_row_of_its_first(world: World) -> None:
    first, second = world.record_file("a.jpg", b"same"), world.record_file("b.jpg", b"same")
    world.file()
    assert world.row(second.id)["duplicate_of"] == first.id
    age(world, first.id)
    assert prune.prune(world.ledger, year_ago()) == 1
    assert world.row(second.id)["duplicate_of"] is None


def test_many_rows_go_in_several_transactions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "_PAGE", 2)
    entries = [world.record_file(f"{number}.jpg") for number in range(5)]
    world.file()
    age(world, *(each.id for each in entries))
    assert prune.prune(world.ledger, year_ago()) == 5
    assert world.rows() == []


@pytest.mark.parametrize("text", ["", "365", "d", "0d", "-1d", "1y", "1.5d", "999999d", "\u0661d"])
def test_only_a_number_of_days_is_an_age(text: str) -> None:
    with pytest.raises(UsageError, match="no number of days"):
        prune.before(text, now())


def test_an_age_is_counted_in_days() -> None:
    moment = datetime(2026, 11, 23)
    assert moment - prune.before("30d", moment) == timedelta(days=30)
