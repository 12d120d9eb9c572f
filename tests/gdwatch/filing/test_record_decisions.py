import os
import stat
from collections.abc import Sequence
from typing import Any

import pytest

from gdwatch.errors import ActionNeeded, Trouble
from gdwatch.filing import destination
from gdwatch.ledger.transaction import Transaction
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Judged, Refusal
from tests import build
from tests.gdwatch.conftest import World


def test_a_decision_is_a_row_before_its_file_is_touched(world: World) -> None:
    path = world.drop("wedding/a.jpg")
    before = path.stat()
    (entry,) = world.record(world.judged(path))
    assert path.stat() == before
    row = world.row(entry.id)
    assert row["state"] == "recorded"
    assert row["name"] == "a.jpg"
    assert row["original_path"] == row["source_path"] == "inbox/wedding/a.jpg"
    assert row["path"] == "male/wedding/a.jpg"
    assert (row["outcome"], row["reason"], row["filed_at"]) == ("male", None, None)
    assert (row["size_bytes"], row["modified_ns"]) == (before.st_size, before.st_mtime_ns)
    assert row["sha256"] == build.sha256(b"a photograph")
    assert entry.source == os.fsencode(path)
    assert entry.target == os.fsencode(world.root) + b"/male/wedding/a.jpg"


def test_a_file_that_was_renamed_while_it_was_judged_gets_no_row(world: World) -> None:
    renamed, kept = world.drop("old/a.jpg", b"1"), world.drop("kept/b.jpg", b"2")
    taken, replaced = world.drop("old/c.jpg", b"3"), world.drop("kept/d.jpg", b"4")
    judged = [world.judged(path) for path in (renamed, kept, taken, replaced)]
    taken.unlink()
    (world.root / "inbox" / "old").rename(world.root / "inbox" / "new")
    build.put(world.root, "kept/d.jpg", b"5")
    (entry,) = world.record(*judged)
    assert entry.source == os.fsencode(kept)
    assert [row["original_path"] for row in build.rows(world.root)] == ["inbox/kept/b.jpg"]


def test_times_are_utc_text_that_sqlite_understands(world: World) -> None:
    world.record_file("a.jpg")
    (row,) = build.query(
        world.root, "SELECT date(recorded_at) AS day, date('now') AS today FROM files"
    )
    assert row["day"] == row["today"]


def test_what_the_model_said_stands_in_results(world: World) -> None:
    entry = world.record_file("a.jpg", outcome="unsure")
    (row,) = build.query(world.root, "SELECT * FROM results")
    assert row["file_id"] == entry.id
    assert (row["outcome"], row["reason"], row["label"]) == ("unsure", "low_confidence", "male")
    assert (row["p_male"], row["confidence"]) == (0.6, 0.6)
    assert (row["width"], row["height"], row["format"]) == (640, 480, "JPEG")
    assert (row["faces"], row["box_x"]) == (None, None)
    assert row["rules"] == "crop=whole"
    (batch,) = build.query(world.root, "SELECT * FROM batches")
    assert row["batch_id"] == batch["id"]
    assert (batch["device"], batch["files"], batch["decode_ms"]) == ("cpu", 1, 2.0)
    (view,) = build.query(world.root, "SELECT * FROM current_results")
    assert (view["model"], view["label"], view["corrected"]) == ("brightness 1", "male", None)


def test_a_refused_file_has_no_label_and_no_batch(world: World) -> None:
    world.record_file("a.jpg", outcome="rejected")
    (row,) = build.query(world.root, "SELECT * FROM results")
    assert (row["outcome"], row["reason"]) == ("rejected", "truncated")
    assert (row["label"], row["p_male"], row["confidence"], row["batch_id"]) == (None,) * 4
    assert row["model_id"] is not None


def test_a_file_from_a_time_that_no_database_knows_is_recorded_and_filed(world: World) -> None:
    path = world.drop("a.jpg")
    wanted = 13_569_465_600 * 10**9  # in the year 2400
    os.utime(path, ns=(0, wanted))
    if path.stat().st_mtime_ns != wanted:
        pytest.skip("this file system knows no year 2400")
    (entry,) = world.record(world.judged(path))
    assert world.file().filed == [entry.id]
    assert (world.root / "male" / "a.jpg").stat().st_mtime_ns == wanted


def test_a_file_too_large_to_be_read_has_no_hash(world: World) -> None:
    judged = world.judged(world.drop("a.jpg"), "rejected")
    refusal = Refusal("too_many_bytes", "12 bytes are more than max_bytes 4")
    judged = Judged(
        judged.opened, refusal, type(judged.decision)("rejected", "too_many_bytes"), world.serving
    )
    (entry,) = world.record(judged)
    assert world.row(entry.id)["sha256"] is None


def test_a_model_has_one_row_however_often_it_is_used(world: World) -> None:
    world.record_file("a.jpg")
    world.record_file("b.jpg")
    (row,) = build.query(world.root, "SELECT * FROM models")
    assert (row["name"], row["version"], row["sha256"]) == (
        "brightness",
        "1",
        build.sha256(b"brightness"),
    )


def test_the_day_of_the_decision_can_be_the_folder(world: World) -> None:
    entry = world.record_file("wedding/a.jpg", layout="date")
    row = world.row(entry.id)
    day = row["recorded_at"][:10].replace("-", "/")
    assert row["path"] == f"male/{day}/a.jpg"


def test_the_same_bytes_twice_are_two_rows_and_the_second_names_the_first(world: World) -> None:
    first, second = world.record(
        world.judged(world.drop("a.jpg")), world.judged(world.drop("b.jpg"))
    )
    third = world.record_file("c.jpg")
    assert [world.row(each.id)["duplicate_of"] for each in (first, second, third)] == [
        None,
        first.id,
        first.id,
    ]
    assert world.row(third.id)["outcome"] == "male"


def test_what_was_gone_before_it_was_filed_is_nobodys_original(world: World) -> None:
    ghost = world.record_file("old/a.jpg")
    (world.root / "inbox" / "old").rename(world.root / "inbox" / "new")  # after a crash
    assert world.file().missing == [ghost.id]
    (entry,) = world.record(world.judged(world.root / "inbox" / "new" / "a.jpg"))
    copy = world.record_file("copy.jpg")
    rows = [world.row(each.id)["duplicate_of"] for each in (entry, copy)]
    assert rows == [None, entry.id]


def test_duplicates_are_rejected_where_the_settings_say_so(world: World) -> None:
    world.record_file("a.jpg")
    world.file()
    copy = world.record_file("b.jpg", duplicates="reject")
    row = world.row(copy.id)
    assert (row["path"], row["reason"]) == ("rejected/b.jpg", "duplicate")
    other = world.record_file("c.jpg", b"other bytes", duplicates="reject")
    assert world.row(other.id)["outcome"] == "male"


def test_a_duplicate_of_what_was_taken_away_is_not_rejected(world: World) -> None:
    world.record_file("a.jpg")
    world.file()
    (world.root / "male" / "a.jpg").unlink()
    again = world.record_file("b.jpg", duplicates="reject")
    assert world.row(again.id)["outcome"] == "male"
    assert world.row(again.id)["duplicate_of"] is not None


def test_a_copy_is_rejected_as_long_as_any_file_with_its_bytes_lies_where_its_row_says(
    world: World,
) -> None:
    first = world.record_file("a.jpg")
    world.record_file("b.jpg")
    world.file()
    (world.root / "male" / "a.jpg").unlink()
    copy = world.row(world.record_file("c.jpg", duplicates="reject").id)
    assert (copy["reason"], copy["duplicate_of"]) == ("duplicate", first.id)


def test_where_all_files_with_its_bytes_are_gone_the_first_of_a_batch_is_none_but_the_next_is(
    world: World,
) -> None:
    first = world.record_file("a.jpg")
    world.file()
    (world.root / "male" / "a.jpg").unlink()
    entries = world.record(
        *(world.judged(world.drop(name)) for name in ("b.jpg", "c.jpg")), duplicates="reject"
    )
    rows = [world.row(entry.id) for entry in entries]
    assert [row["reason"] for row in rows] == [None, "duplicate"]
    assert [row["duplicate_of"] for row in rows] == [first.id] * 2


def test_another_file_at_the_path_of_what_was_taken_away_is_no_original(world: World) -> None:
    first = world.record_file("a.jpg")
    world.file()
    (world.root / "male" / "a.jpg").unlink()
    world.record_file("a.jpg", b"other bytes")
    world.file()
    assert world.row(first.id)["state"] == "missing"
    again = world.record_file("b.jpg", duplicates="reject")
    assert world.row(again.id)["outcome"] == "male"


def test_of_many_copies_the_first_and_the_newest_are_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.record(*(world.judged(world.drop(f"{number}.jpg")) for number in range(60)))
    world.file()
    for number in range(60):
        if number != 5:  # neither the first nor among the newest
            (world.root / "male" / f"{number}.jpg").unlink()
    looked: list[bytes] = []
    is_file = Handles.is_file

    def noted(handles: Handles, path: bytes) -> bool:
        looked.append(path)
        return is_file(handles, path)

    monkeypatch.setattr(Handles, "is_file", noted)
    slipped, caught = (world.record_file(name, duplicates="reject") for name in ("b.jpg", "c.jpg"))
    assert 30 < len(looked) < 40
    assert world.row(slipped.id)["outcome"] == "male"
    assert world.row(caught.id)["reason"] == "duplicate"


def test_two_files_of_one_batch_that_want_one_name_get_two(world: World) -> None:
    first = world.judged(world.drop("party/a.jpg", b"1"))
    second = world.judged(world.drop("wedding/a.jpg", b"2"))
    entries = world.record(first, second, layout="date")
    paths = [world.row(each.id)["path"] for each in entries]
    assert paths[1] == paths[0].replace("a.jpg", f"a~{entries[1].id}.jpg")


def test_a_name_that_another_row_waits_for_is_taken(world: World) -> None:
    world.record_file("a.jpg", b"1")  # recorded, not moved
    second = world.record_file("a.jpg", b"2")
    assert world.row(second.id)["path"] == f"male/a~{second.id}.jpg"


def test_a_name_that_a_foreign_file_has_is_taken(world: World) -> None:
    (world.root / "male" / "a.jpg").write_bytes(b"a person's")
    entry = world.record_file("a.jpg")
    assert world.row(entry.id)["path"] == f"male/a~{entry.id}.jpg"


def test_a_file_finds_a_name_however_many_are_taken(world: World) -> None:
    male = world.root / "male"
    for name in ("a.jpg", "a~1.jpg", *(f"a~1-{number}.jpg" for number in range(2, 30))):
        (male / name).write_bytes(b"a person's")
    entry = world.record_file("a.jpg")
    assert world.row(entry.id)["path"] == "male/a~1-30.jpg"


def test_a_dangling_link_takes_a_name(world: World) -> None:
    (world.root / "male" / "a.jpg").symlink_to("nowhere")
    entry = world.record_file("a.jpg")
    assert world.row(entry.id)["path"] == f"male/a~{entry.id}.jpg"


def test_a_folder_name_that_a_file_has_gets_the_id(world: World) -> None:
    (world.root / "male" / "wedding").write_bytes(b"a file")
    entry = world.record_file("wedding/church/a.jpg")
    assert world.row(entry.id)["path"] == f"male/wedding~{entry.id}/church/a.jpg"


def test_a_file_that_was_taken_away_gives_its_name_up(world: World) -> None:
    first = world.record_file("a.jpg", b"1")
    world.file()
    (world.root / "male" / "a.jpg").unlink()
    second = world.record_file("a.jpg", b"2")
    assert world.row(first.id)["state"] == "missing"
    assert world.row(second.id)["path"] == "male/a.jpg"


@pytest.mark.parametrize("present", [True, False])
def test_a_drop_named_like_a_name_with_an_id_does_not_break_the_ledger(
    world: World, *, present: bool
) -> None:
    world.record_file("a~3.jpg", b"1")
    world.record_file("a.jpg", b"2")
    world.file()
    if not present:
        (world.root / "male" / "a~3.jpg").unlink()
    third = world.record_file("a.jpg", b"3")
    assert third.id == 3
    world.file()
    row = world.row(third.id)
    assert (world.root / row["path"]).read_bytes() == b"3"


def test_a_name_of_255_bytes_is_cut_for_the_id(world: World) -> None:
    name = "ü" * 125 + "x.jpg"
    world.record_file(name, b"1")
    second = world.record_file(name, b"2")
    world.file()
    path = world.row(second.id)["path"]
    assert path.endswith("~2.jpg")
    target = second.target.rpartition(b"/")[2]
    assert len(target) <= 255
    assert stat.S_ISREG(os.stat(second.target).st_mode)


def test_hostile_names_stand_escaped_in_the_row(world: World) -> None:
    entry = world.record_file(b"a\n\xff\\b.jpg")
    row = world.row(entry.id)
    assert row["name"] == r"a\x0a\xff\\b.jpg"
    assert row["path"] == r"male/a\x0a\xff\\b.jpg"


def test_a_batch_that_cannot_be_recorded_leaves_no_row(world: World) -> None:
    good = world.judged(world.drop("a.jpg", b"1"))
    bad = world.judged(world.drop("b.jpg", b"2"))
    (world.root / "results.db").rename(world.root / "away.db")
    with pytest.raises(ActionNeeded, match="was removed or replaced while in use"):
        world.record(good, bad)
    (world.root / "away.db").rename(world.root / "results.db")
    assert world.rows() == []


def test_batches_recorded_together_are_all_there_or_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.judged(world.drop("a.jpg", b"1"))
    second = world.judged(world.drop("b.jpg", b"2"))
    insert = Transaction.insert_results

    def failing(transaction: Transaction, rows: Sequence[dict[str, Any]]) -> None:
        insert(transaction, rows)
        if transaction.connection.exec_driver_sql("SELECT count(*) FROM results").scalar() == 2:
            raise Trouble("database_full", "no room", "make some")

    with monkeypatch.context() as patched:
        patched.setattr(Transaction, "insert_results", failing)
        with pytest.raises(Trouble):
            world.record_together((first,), (second,))
    assert world.rows() == []
    (one,), (two,) = world.record_together((first,), (second,))
    rows = world.rows()
    assert [row["id"] for row in rows] == [one.id, two.id]
    assert rows[0]["recorded_at"] == rows[1]["recorded_at"]
    assert len(build.query(world.root, "SELECT * FROM batches")) == 2


def test_batches_recorded_together_know_of_each_others_names_and_bytes(world: World) -> None:
    batches = [(world.judged(world.drop(f"{day}/a.jpg")),) for day in ("monday", "tuesday")]
    (one,), (two,) = world.record_together(*batches, layout="date")
    assert two.target == destination.with_id(one.target, two.id)
    assert world.row(two.id)["duplicate_of"] == one.id


def test_a_missing_answer_folder_is_made_again(world: World) -> None:
    (world.root / "male").rmdir()
    entry = world.record_file("a.jpg")
    world.file()
    assert (world.root / world.row(entry.id)["path"]).is_file()


def test_an_answer_folder_that_is_a_file_is_trouble(world: World) -> None:
    (world.root / "male").rmdir()
    (world.root / "male").write_bytes(b"")
    with pytest.raises(Trouble, match="answer folder") as caught:
        world.record_file("a.jpg")
    assert caught.value.reason == "folder_missing"
    assert world.rows() == []


def test_deep_folders_are_recorded_with_few_descriptors_and_waited_for_without_any(
    world: World,
) -> None:
    for number in range(20):
        folder = f"a{number}/b/c"
        world.record_file(f"{folder}/before.jpg")  # its answer folder is there then
        world.file()
    judged = [world.judged(world.drop(f"a{number}/b/c/now.jpg")) for number in range(20)]
    with build.files_left_to_open(0), pytest.raises(Trouble, match="open files") as caught:
        world.record(*judged)
    assert caught.value.reason == "open_files"
    with build.files_left_to_open(8):
        assert len(world.record(*judged)) == 20
