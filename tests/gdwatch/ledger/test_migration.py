import contextlib
import sqlite3
from pathlib import Path

import alembic.command
import alembic.config
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from gdwatch.errors import ActionNeeded
from gdwatch.ledger import connection, migration
from gdwatch.ledger.tables import metadata
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


# ------------------------------------------------------------------------- from version 0001

ROWS_0001 = Path(__file__).with_name("ledger_0001.sql").read_text(encoding="utf-8")
VIEW_0001 = (
    "SELECT id, name, path, outcome, reason, label, confidence, p_male, faces, model, corrected, "
    "recorded_at, filed_at, sha256, state FROM current_results ORDER BY id"
)


def migrate(engine: sa.Engine, version: str) -> None:
    with engine.begin() as connection:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(migration.MIGRATIONS))
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, version)


def ledger_0001(root: Path, rows: str = ROWS_0001) -> sa.Engine:
    """A SQLite ledger of version 0001."""
    engine = connection.connect(connection.url_of(build.make_settings(root)), writable=True)
    migrate(engine, "0001")
    with contextlib.closing(sqlite3.connect(root / "results.db")) as book:
        book.executescript(rows)
    return engine


def test_every_earlier_version_has_rows_to_be_upgraded_from() -> None:
    versions = {file.name.partition("_")[0] for file in migration.MIGRATIONS.glob("versions/0*.py")}
    earlier = versions - {migration.newest()}
    assert earlier
    assert {file.stem for file in Path(__file__).parent.glob("ledger_*.sql")} == {
        f"ledger_{version}" for version in earlier
    }


def test_the_upgrade_from_0001_keeps_every_row_and_takes_a_snapshot(root: Path) -> None:
    engine = ledger_0001(root)
    tables = ("roots", "models", "batches", "files", "results", "corrections")

    def rows() -> dict[str, list[dict[str, object]]]:
        return {name: build.query(root, f"SELECT * FROM {name} ORDER BY id") for name in tables}

    before, shown = rows(), build.query(root, VIEW_0001)
    snapshot = migration.upgrade_with_snapshot(engine)
    assert snapshot is not None
    assert snapshot.name.startswith("results.db.0001.")
    for name, old in before.items():
        new = rows()[name]
        assert [{key: row[key] for key in old[0]} for row in new] == old
    assert build.query(root, VIEW_0001) == shown
    assert build.query(root, "PRAGMA foreign_key_check") == []
    assert build.query(root, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]


def test_the_upgrade_from_0001_fills_in_what_is_known(root: Path) -> None:
    migration.upgrade_with_snapshot(ledger_0001(root))
    names = "crop, several_faces, min_confidence, min_face, min_sharpness, bodies"
    rules = f"SELECT {names} FROM results ORDER BY id LIMIT 3"
    assert [tuple(row.values()) for row in build.query(root, rules)] == [
        ("face", "agree", 0.85, 20.0, 5.0, 0.95),
        (None,) * 6,
        (None,) * 6,
    ]
    # Clara was judged by two models: the second is in force.
    (clara,) = build.query(root, "SELECT result_id, moved_at, filed_at FROM files WHERE id = 3")
    assert clara == {"result_id": 4, "moved_at": clara["filed_at"], "filed_at": clara["filed_at"]}
    moved = build.query(root, "SELECT file_id, from_path, to_path, why FROM moves ORDER BY id")
    assert len(moved) == 10  # all but the one that is recorded and not filed
    assert moved[0] == {
        "file_id": 1,
        "from_path": "inbox/wedding/anna.jpg",
        "to_path": "female/wedding/anna.jpg",
        "why": "earlier",
    }
    assert build.query(root, "SELECT how, command_id FROM corrections") == [
        {"how": "command", "command_id": None}
    ]


def test_models_and_migrations_agree_after_an_upgrade_too(root: Path) -> None:
    engine = ledger_0001(root)
    migration.upgrade_with_snapshot(engine)
    with engine.connect() as opened:
        context = MigrationContext.configure(opened, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


_MANY = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
INSERT INTO files (id, root_id, sha256, size_bytes, modified_ns, name, original_path, path, state,
                   outcome, model_id, received_at, recorded_at, filed_at)
SELECT i, 1, 'h' || i, 1000, i, i || '.jpg', 'inbox/' || i || '.jpg', 'male/' || i || '.jpg',
       'filed', 'male', 1, '2026-11-20 08:05:00', '2026-11-20 08:05:00', '2026-11-20 08:05:00'
  FROM n;
INSERT INTO results (file_id, model_id, rules, outcome, label, p_male, confidence, decided_at)
SELECT id, 1, 'crop=whole several_faces=dominant min_confidence=0.9', 'male', 'male', 0.98, 0.98,
       recorded_at FROM files;
"""


@pytest.mark.timeout(1800)
def test_a_large_ledger_is_upgraded_row_by_row(root: Path, request: pytest.FixtureRequest) -> None:
    count = 2_000_000 if request.config.getoption("--long", default=False) else 1000
    head = "".join(ROWS_0001.partition("INSERT INTO batches")[:1])
    engine = ledger_0001(root, head + _MANY.format(count=count))
    migration.upgrade_with_snapshot(engine)
    asked = (
        "SELECT (SELECT count(*) FROM results WHERE min_confidence = 0.9) AS results, "
        "(SELECT count(*) FROM moves) AS moves, "
        "(SELECT count(*) FROM current_results WHERE label = 'male') AS shown"
    )
    assert build.query(root, asked) == [{"results": count, "moves": count, "shown": count}]
    assert build.query(root, "PRAGMA foreign_key_check") == []
