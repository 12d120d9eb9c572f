import contextlib
import os
import socket
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from gdwatch.errors import ActionNeeded, Trouble
from gdwatch.filing import placement, record_decisions
from gdwatch.ledger import connection, migration, opening, prepared_statements
from gdwatch.ledger.ledger import Command
from gdwatch.ledger.tables import files, metadata
from gdwatch.ledger.transaction import now, result_row
from gdwatch.root.folder_handles import Handles
from gdwatch.settings import Settings
from gdwatch.values import Batch, Decision, Entry
from tests import build
from tests.gdwatch.conftest import World

# What other programs rely on: names, types and constraints of the promised tables.
COLUMNS = {
    "roots": "id uuid first_used_at host path",
    "commands": "id root_id name arguments by started_at undoes",
    "models": "id sha256 name version first_used_at details",
    "batches": "id model_id device files decode_ms infer_ms started_at finished_at",
    "files": "id root_id sha256 size_bytes modified_ns name original_path path source_path state "
    "outcome reason model_id duplicate_of received_at recorded_at filed_at moved_at result_id "
    "command_id taken_at camera mode restored_to",
    "originals": "id root_id file_id path inode size_bytes modified_ns changed_ns",
    "results": "id file_id model_id rules outcome reason label p_male confidence faces "
    "box_x box_y box_w box_h width height format batch_id decided_at crop several_faces "
    "min_confidence min_face min_sharpness bodies command_id",
    "corrections": "id file_id label by at how command_id",
    "moves": "id file_id from_path to_path why command_id moved_at",
    "changes": "id file_id command_id result_id path outcome reason label at how",
    "current_results": "id name path outcome reason label confidence p_male faces model corrected "
    "recorded_at filed_at sha256 state original_path first_filed_at moved_at model_label "
    "min_confidence taken_at camera root root_host bodies mode restored_to",
}
MAY_BE_NULL = {
    "roots": "host path",
    "commands": "undoes",
    "files": "sha256 source_path reason duplicate_of filed_at moved_at result_id command_id "
    "taken_at camera restored_to",
    "originals": "changed_ns",
    "results": "reason label p_male confidence faces box_x box_y box_w box_h width height format "
    "batch_id crop several_faces min_confidence min_face min_sharpness bodies command_id",
    "corrections": "label command_id",
    "moves": "command_id",
    "changes": "result_id reason label",
}
INDEXES = {
    "files": {
        "files_path",
        "files_recorded",
        "files_sha256",
        "files_name",
        "files_recorded_at",
        "files_outcome",
        "files_duplicate_of",
        "files_result",
    },
    "results": {"results_file"},
    "corrections": {"corrections_file"},
    "moves": {"moves_file"},
    "changes": {"changes_file", "changes_command"},
}
DAY = "2026-11-23 18:04:05.123456"


@pytest.fixture
def empty(world: World) -> sqlite3.Connection:
    """A fresh ledger with one root and one model, seen as another program sees it."""
    connection = sqlite3.connect(world.root / "results.db")
    world.stack.callback(connection.close)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"INSERT INTO models VALUES (1, 'sha', 'm', '1', '{DAY}', '{{}}')")
    connection.commit()
    return connection


def insert(connection: sqlite3.Connection, table: str, **values: object) -> int:
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
    return connection.execute(statement, tuple(values.values())).lastrowid or 0


FILE = {
    "root_id": 1, "sha256": "s", "size_bytes": 1, "modified_ns": 1, "name": "a.jpg",
    "original_path": "inbox/a.jpg", "path": "male/a.jpg", "state": "filed", "outcome": "male",
    "model_id": 1, "received_at": DAY, "recorded_at": DAY, "filed_at": DAY,
}  # fmt: skip
RESULT = {
    "model_id": 1, "rules": "r", "outcome": "male", "label": "male", "p_male": 0.9,
    "confidence": 0.9, "decided_at": DAY,
}  # fmt: skip


# ------------------------------------------------------------------------- the promised schema


def test_the_migrated_ledger_has_the_promised_columns(empty: sqlite3.Connection) -> None:
    for table, promised in COLUMNS.items():
        found = empty.execute(f"PRAGMA table_info({table})").fetchall()
        assert [row[1] for row in found] == promised.split()
        if table != "current_results":
            nullable = {row[1] for row in found if not row[3]} - {"id"}
            assert nullable == set(MAY_BE_NULL.get(table, "").split())


def test_the_migrated_ledger_has_the_promised_indexes(empty: sqlite3.Connection) -> None:
    for table, promised in INDEXES.items():
        found = empty.execute(f"PRAGMA index_list({table})").fetchall()
        assert promised <= {row[1] for row in found}
    unique = {row[1]: row[2] for row in empty.execute("PRAGMA index_list(files)")}
    assert unique["files_path"] == 1
    sql = dict(empty.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'"))
    assert "WHERE state <> 'missing'" in sql["files_path"]
    assert "WHERE state = 'recorded'" in sql["files_recorded"]


def test_models_and_migrations_agree(world: World) -> None:
    with world.ledger.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_database_says_that_it_is_ours(empty: sqlite3.Connection) -> None:
    assert empty.execute("PRAGMA application_id").fetchone() == (0x67647731,)
    assert empty.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "lost"},
        {"outcome": "other"},
        {"state": "recorded"},
        {"source_path": "inbox/a.jpg"},
        {"filed_at": None},
        {"reason": "low_confidence"},
        {"sha256": None},
        {"root_id": 99},
        {"model_id": 99},
        {"duplicate_of": 99},
        {"path": None},
    ],
)
def test_a_row_of_files_that_cannot_be_is_refused(
    empty: sqlite3.Connection, change: dict[str, object]
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert(empty, "files", **{**FILE, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"state": "missing", "filed_at": None},
        {"state": "recorded", "source_path": "inbox/a.jpg", "filed_at": None},
        {"outcome": "rejected", "reason": "too_many_bytes", "sha256": None},
        {"outcome": "unsure", "reason": None},
    ],
)
def test_a_row_of_files_that_can_be_is_taken(
    empty: sqlite3.Connection, change: dict[str, object]
) -> None:
    insert(empty, "files", **{**FILE, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "other"},
        {"label": "other"},
        {"p_male": 1.1},
        {"confidence": 0.4},
        {"outcome": "female"},
        {"outcome": "unsure"},
        {"reason": "low_confidence"},
        {"label": None},
        {"p_male": None},
        {"outcome": "rejected", "reason": "truncated"},
        {"outcome": "unsure", "reason": "changed_late"},
        {"file_id": 99},
        {"batch_id": 99},
    ],
)
def test_a_row_of_results_that_cannot_be_is_refused(
    empty: sqlite3.Connection, change: dict[str, object]
) -> None:
    file_id = insert(empty, "files", **FILE)
    with pytest.raises(sqlite3.IntegrityError):
        insert(empty, "results", **{"file_id": file_id, **RESULT, **change})


def test_two_files_never_claim_one_path_unless_one_is_missing(empty: sqlite3.Connection) -> None:
    first = insert(empty, "files", **FILE)
    with pytest.raises(sqlite3.IntegrityError):
        insert(empty, "files", **FILE)
    empty.execute("UPDATE files SET state = 'missing' WHERE id = ?", (first,))
    insert(empty, "files", **FILE)


def test_an_id_is_never_given_twice(empty: sqlite3.Connection) -> None:
    first = insert(empty, "files", **FILE)
    empty.execute("DELETE FROM files")
    assert insert(empty, "files", **FILE) > first


def test_a_file_takes_its_results_along_but_not_while_it_is_corrected(
    empty: sqlite3.Connection,
) -> None:
    file_id = insert(empty, "files", **FILE)
    copy = insert(empty, "files", **{**FILE, "path": "male/b.jpg", "duplicate_of": file_id})
    insert(empty, "results", file_id=file_id, **RESULT)
    correction = insert(
        empty, "corrections", file_id=file_id, label="female", by="x", at=DAY, how="command"
    )
    with pytest.raises(sqlite3.IntegrityError):
        empty.execute("DELETE FROM files WHERE id = ?", (file_id,))
    empty.execute("DELETE FROM corrections WHERE id = ?", (correction,))
    empty.execute("DELETE FROM files WHERE id = ?", (file_id,))
    assert empty.execute("SELECT count(*) FROM results").fetchone() == (0,)
    assert empty.execute("SELECT duplicate_of FROM files WHERE id = ?", (copy,)).fetchone() == (
        None,
    )


def test_the_view_shows_the_current_result_and_the_last_word_of_a_person(
    empty: sqlite3.Connection,
) -> None:
    file_id = insert(empty, "files", **FILE)
    insert(
        empty, "results", file_id=file_id, **{**RESULT, "outcome": "unsure", "reason": "blurred"}
    )
    result_id = insert(empty, "results", file_id=file_id, **RESULT, min_confidence=0.8)
    empty.execute("UPDATE files SET result_id = ?", (result_id,))
    word = {"file_id": file_id, "by": "x", "at": DAY, "how": "command"}
    for label in ("female", None, "female"):
        insert(empty, "corrections", **word, label=label)
    row = empty.execute(
        "SELECT label, model, corrected, date(recorded_at), min_confidence FROM current_results"
    )
    assert row.fetchall() == [("male", "m 1", "female", "2026-11-23", 0.8)]
    insert(empty, "corrections", **word, label=None)
    assert empty.execute("SELECT corrected FROM current_results").fetchall() == [(None,)]


# ------------------------------------------------------------------------- opening


def settings_at(root: Path, **others: object) -> Settings:
    return build.make_settings(root, **others)


def open_and_close(root: Path, **others: object) -> None:
    opening.open_ledger(settings_at(root, **others), "a-root", serve=True).close(last=True)


def test_the_service_makes_a_ledger_and_leaves_one_plain_file(root: Path) -> None:
    open_and_close(root)
    assert [path.name for path in root.glob("results.db*")] == ["results.db"]
    open_and_close(root)
    assert build.query(root, "SELECT uuid FROM roots") == [{"uuid": "a-root"}]


def test_while_the_service_runs_others_may_read(world: World) -> None:
    assert build.query(world.root, "PRAGMA journal_mode") == [{"journal_mode": "wal"}]
    world.record_file("a.jpg")
    reader = opening.open_to_read(world.settings)
    with reader.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM files")).scalar() == 1
        with pytest.raises(sa.exc.OperationalError, match="readonly"):
            connection.execute(sa.text("DELETE FROM files"))
    reader.close()


def test_a_command_makes_no_ledger(root: Path) -> None:
    with pytest.raises(ActionNeeded, match="no ledger yet"):
        opening.open_to_read(settings_at(root))
    assert not opening.has_rows(settings_at(root))
    assert not (root / "results.db").exists()


def changed(root: Path, statement: str) -> bytes:
    """Make a ledger, change it behind our back, and return its bytes."""
    open_and_close(root)
    with contextlib.closing(sqlite3.connect(root / "results.db")) as connection, connection:
        connection.execute(statement)
    return (root / "results.db").read_bytes()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "9999 is newer than this gdwatch"),
        ("PRAGMA application_id = 77", "another program's .application_id 0x0000004d"),
    ],
)
def test_a_newer_ledger_or_anothers_is_refused_untouched(
    root: Path, statement: str, message: str
) -> None:
    before = changed(root, statement)
    with pytest.raises(ActionNeeded, match=message):
        open_and_close(root)
    with pytest.raises(ActionNeeded, match=message):
        migration.upgrade_with_snapshot(
            connection.connect(connection.url_of(settings_at(root)), writable=True)
        )
    assert (root / "results.db").read_bytes() == before


def test_a_database_of_another_program_is_refused_untouched(root: Path) -> None:
    with contextlib.closing(sqlite3.connect(root / "results.db")) as connection:
        connection.execute("CREATE TABLE files (id INTEGER)")
    before = (root / "results.db").read_bytes()
    with pytest.raises(ActionNeeded, match="another program's"):
        open_and_close(root)
    assert (root / "results.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"no database " * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_no_database_is_refused(root: Path, content: bytes) -> None:
    (root / "results.db").write_bytes(content)
    with pytest.raises(ActionNeeded, match=r"results\.db: .*(corrupt|cannot)"):
        open_and_close(root)
    assert (root / "results.db").read_bytes() == content


@pytest.mark.parametrize(
    ("url", "message"),
    [("no url", "setting database"), ("mysql://x/y", "mysql is not supported")],
)
def test_a_database_that_cannot_be_is_refused(root: Path, url: str, message: str) -> None:
    with pytest.raises(ActionNeeded, match=message):
        open_and_close(root, database=url)


def test_a_database_in_a_folder_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(ActionNeeded, match="cannot be opened"):
        open_and_close(root, database=f"sqlite:///{root}/none/results.db")


@pytest.mark.parametrize("name", ["a b", "50%41", "why?", "#1", "a&b=c", "Größe"])
def test_a_database_on_a_path_with_odd_characters_is_opened(tmp_path: Path, name: str) -> None:
    root = build.make_root(tmp_path / name)
    open_and_close(root)
    assert (root / "results.db").is_file()
    opening.open_to_read(settings_at(root)).close()


# ------------------------------------------------------------------------- writing


def test_a_write_is_all_or_nothing(world: World) -> None:
    def write_and_fail() -> None:
        with world.ledger.writing() as transaction:
            transaction.model_id(world.serving)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert build.query(world.root, "SELECT * FROM models") == []


def test_a_ledger_that_another_program_holds_is_trouble_that_passes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_BUSY_TIMEOUT_S", 0.05)
    book = opening.open_ledger(world.settings, "a-root")
    with contextlib.closing(sqlite3.connect(world.root / "results.db")) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Trouble) as caught, book.writing():
            pass
        assert caught.value.reason == "database_busy"
        other.execute("ROLLBACK")
    with book.writing():
        pass
    book.close()


def test_a_look_at_the_ledger_neither_waits_for_a_writer_nor_stops_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_BUSY_TIMEOUT_S", 0.05)
    world.record_file("a.jpg")
    book = opening.open_ledger(world.settings, "a-root")
    count = sa.select(sa.func.count()).select_from(files)
    with contextlib.closing(sqlite3.connect(world.root / "results.db")) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        with book.reading() as reader:
            assert reader.execute(count).scalar() == 1
            other.execute("DELETE FROM results")
            other.execute("COMMIT")
            with book.writing():  # also by the same ledger
                pass
    book.close()


@pytest.mark.parametrize("after", ["gone", "another"])
def test_a_ledger_that_was_replaced_is_never_written_to(world: World, after: str) -> None:
    (world.root / "results.db").rename(world.root / "away.db")
    if after == "another":
        (world.root / "results.db").write_bytes(b"")
    with pytest.raises(ActionNeeded, match="was removed or replaced"), world.ledger.writing():
        pytest.fail("it was opened")


def test_nothing_is_committed_to_a_ledger_that_was_removed_meanwhile(world: World) -> None:
    entry = world.record_file("a.jpg")

    def mark_while_it_goes() -> None:
        with world.ledger.writing() as transaction:
            transaction.mark_filed([entry])
            (world.root / "results.db").rename(world.root / "away.db")

    with pytest.raises(ActionNeeded, match="was removed or replaced"):
        mark_while_it_goes()
    (world.root / "away.db").rename(world.root / "results.db")
    assert world.row(entry.id)["state"] == "recorded"


def test_a_file_has_the_same_row_from_every_side(world: World) -> None:
    entry = world.record_file(b"odd \xff\n.jpg")
    (pending,) = world.ledger.pending()
    assert pending == entry
    with world.ledger.writing() as transaction:
        row = transaction.row(entry.id)
        assert transaction.at({entry.target}) == {entry.target: row}
        assert transaction.first_with({row.sha256 or ""}) == {row.sha256: row}
    assert row.source == row.original == os.fsencode(world.root) + b"/inbox/odd \xff\n.jpg"


def test_a_new_row_is_recorded_where_its_file_must_move_and_filed_where_it_need_not(
    world: World,
) -> None:
    moment = now()
    root = os.fsencode(world.root)
    source, target = root + b"/inbox/trip/a\n.jpg", root + b"/male/trip/a\n.jpg"
    entry = Entry(7, source, target, "0" * 64, 12, 34)
    with world.ledger.writing() as transaction:
        moves = transaction.file_row(entry, Decision("male", None), moment, moment)
        stays = transaction.file_row(
            replace(entry, source=target), Decision("male", None), moment, moment
        )
    whole = {column.name for column in files.c} - {"model_id", "duplicate_of"}
    assert moves.keys() == stays.keys() == whole
    assert (moves["name"], moves["path"]) == (r"a\x0a.jpg", r"male/trip/a\x0a.jpg")
    assert moves["original_path"] == moves["source_path"] == r"inbox/trip/a\x0a.jpg"
    assert (moves["state"], moves["filed_at"]) == ("recorded", None)
    assert stays["original_path"] == stays["path"] == moves["path"]
    assert (stays["state"], stays["source_path"], stays["filed_at"]) == ("filed", None, moment)


def test_an_id_is_taken_before_its_row_and_never_given_twice(world: World) -> None:
    entry = world.record_file("a.jpg")
    with world.ledger.writing() as transaction:
        assert transaction.new_ids(3) == [entry.id + 1, entry.id + 2, entry.id + 3]
        transaction.connection.execute(sa.delete(files))
    with world.ledger.writing() as transaction:
        assert transaction.new_ids(1) == [entry.id + 1]


def test_what_is_recorded_is_found_without_a_look_at_what_is_filed(world: World) -> None:
    with world.ledger.reading() as connection:
        for statement in (prepared_statements.PENDING, prepared_statements.UNDER_WAY):
            compiled = statement._for(connection.dialect)
            wanted = {"root_id": 1, "after": 0, "most": 1, "paths": ["inbox/a.jpg"]}
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {compiled.text}", compiled.parameters(wanted)
            )
            assert "USING INDEX files_recorded" in str(plan.all())


def test_the_newest_rows_with_the_same_bytes_are_found_without_a_look_at_the_others(
    world: World,
) -> None:
    entries = [world.record_file(f"{number}.jpg") for number in range(4)]
    world.record_file("other.jpg", b"other bytes")
    sha256 = entries[0].sha256 or ""
    with world.ledger.writing() as transaction:
        found = transaction.newest_with(sha256, 3)
        assert [row.id for row in found] == [entry.id for entry in reversed(entries[1:])]
        compiled = prepared_statements.NEWEST_WITH._for(transaction.connection.dialect)
        plan = transaction.connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {compiled.text}",
            compiled.parameters({"root_id": 1, "sha256": "", "most": 3}),
        ).all()
    assert "files_sha256" in str(plan)
    assert "TEMP B-TREE" not in str(plan)  # they come in order


def test_judged_again_by_the_same_model_the_first_result_stays(world: World) -> None:
    entry = world.record_file("a.jpg")
    judged = world.judged(world.root / "inbox" / "a.jpg", "female")
    with world.ledger.writing() as transaction:
        model_id = transaction.model_id(world.serving)
        transaction.insert_results([result_row(entry.id, judged, model_id, None)])
        assert transaction.newest_result(entry.id) == 2
    assert build.query(world.root, "SELECT outcome FROM results ORDER BY id") == [
        {"outcome": "male"},
        {"outcome": "female"},
    ]
    assert build.query(world.root, "SELECT result_id FROM files") == [{"result_id": 1}]


def test_every_decision_has_its_rules_in_columns_and_the_command_that_asked(world: World) -> None:
    rules = (
        "crop=face several_faces=agree min_confidence=0.85 min_face=20 min_sharpness=5 bodies=0.95"
    )
    model = replace(world.serving, rules=rules)
    judged = replace(world.judged(world.drop("a.jpg")), model=model)
    moment = datetime.now(UTC)
    batch = Batch((judged,), model, "cpu", 1.0, moment, moment)
    asking = opening.open_ledger(world.settings, "a-root", Command("run", "--once", "me"))
    record_decisions.record(asking, world.folders, [batch], world.settings)
    asking.close()
    (row,) = build.query(
        world.root, "SELECT r.*, c.name, c.arguments FROM results r "
        "JOIN commands c ON c.id = r.command_id",
    )  # fmt: skip
    names = ("crop", "several_faces", "min_confidence", "min_face", "min_sharpness", "bodies")
    assert [row[name] for name in names] == ["face", "agree", 0.85, 20.0, 5.0, 0.95]
    assert row["name"] == "run"


def test_a_change_after_the_decision_is_a_decision_of_its_own(world: World) -> None:
    entry = world.record_file("a.jpg")
    with world.ledger.writing() as transaction:
        status = (world.root / "inbox" / "a.jpg").stat()
        target = os.fsencode(world.root) + b"/unsure/a.jpg"
        transaction.changed_late(entry.id, status, "f" * 64, entry.source, target)
    decided = build.query(world.root, "SELECT outcome, reason, p_male FROM results ORDER BY id")
    assert [tuple(row.values()) for row in decided] == [
        ("male", None, 0.98),
        ("unsure", "changed_late", None),
    ]
    (shown,) = build.query(world.root, "SELECT outcome, label FROM current_results")
    assert shown == {"outcome": "unsure", "label": None}


def test_every_move_keeps_its_row_and_the_first_time_of_filing_stays(world: World) -> None:
    entry = world.record_file("a.jpg")
    world.file()
    first = world.row(entry.id)
    with Handles(world.folders) as handles, world.ledger.writing() as transaction:
        placement.send(
            transaction, handles, transaction.row(entry.id), Decision("female", None), "tree"
        )
    world.file()
    last = world.row(entry.id)
    assert first["filed_at"] == first["moved_at"] == last["filed_at"] < last["moved_at"]
    moves = build.query(world.root, "SELECT from_path, to_path, moved_at FROM moves ORDER BY id")
    assert [tuple(row.values()) for row in moves] == [
        ("inbox/a.jpg", "male/a.jpg", first["moved_at"]),
        ("male/a.jpg", "female/a.jpg", last["moved_at"]),
    ]


def test_the_ledger_says_where_its_root_lies(world: World) -> None:
    assert build.query(world.root, "SELECT host, path FROM roots") == [
        {"host": socket.gethostname(), "path": str(world.root)}
    ]
