"""The ledger in PostgreSQL: the same rows as in SQLite, on a server that this test starts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, make_url, text

from gdwatch.errors import Trouble
from gdwatch.jobs.named_files import all_files
from gdwatch.jobs.restore import RestoreOptions, restore
from gdwatch.ledger import migration
from gdwatch.ledger.connection import connect, translated
from gdwatch.ledger.tables import metadata
from tests import build
from tests.build import BRIGHT, DARK, gdwatch, photograph
from tests.gdwatch.conftest import world_at
from tests.gdwatch.ledger.test_migration import ROWS_0001, VIEW_0001, migrate
from tests.gdwatch.originals import ready
from tests.postgresql import driven, new_database, server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty database on a server of its own."""
    with server(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


def test_a_whole_life_of_a_file_in_postgresql(database, root, model, tmp_path):
    given = build.arguments(
        root, {"model": model, "settle_ms": 50, "workers": 1, "database": database}
    )
    build.put(root, "bright.png", photograph(1, BRIGHT))
    build.put(root, "dark.png", photograph(2, DARK))
    build.put(root, "copy.png", photograph(1, BRIGHT))
    build.put(root, "text.jpg", b"no picture")
    opposite = build.model_file(tmp_path / "opposite.safetensors", slope=-30.0, name="opposite")

    assert gdwatch("run", "--once", *given, cwd=tmp_path).returncode == 0
    assert gdwatch("correct", "female/dark.png", "male", *given, cwd=tmp_path).returncode == 0
    again = gdwatch("reprocess", root, "--move", *given, f"--set=model={opposite}", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert gdwatch("db", "check", *given, cwd=tmp_path).returncode == 0

    query = "SELECT name, path, label, corrected, model, state FROM current_results ORDER BY name"
    with create_engine(driven(database)).connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
        copies = connection.execute(text("SELECT count(*) FROM files WHERE duplicate_of > 0"))
        assert copies.scalar_one() == 1
    assert found == [
        ("bright.png", "female/bright.png", "female", None, "opposite 1", "filed"),
        ("copy.png", "female/copy.png", "female", None, "opposite 1", "filed"),
        ("dark.png", "male/dark.png", "male", "male", "opposite 1", "filed"),
        ("text.jpg", "rejected/text.jpg", None, None, "opposite 1", "filed"),
    ]


def test_originals_and_what_was_put_back_are_known_in_postgresql(database, root):
    other = new_database(database, "originals")
    with world_at(root, mode="copy", database=other) as world:
        world.record_file("a.jpg", b"a")
        world.record_file("b.jpg", b"b")
        world.file()
        assert ready(world) == []
        (root / "inbox/a.jpg").chmod(0o600)
        assert ready(world) == ["a.jpg"]
        assert world.record(world.judged(root / "inbox/a.jpg")) == []  # recognised by its bytes
        assert ready(world) == []
        (root / "inbox/b.jpg").unlink()
        given = (world.ledger, world.folders, world.settings)
        done = restore(*given, all_files(*given).rows, RestoreOptions())
        assert (len(done.files), len(done.there), done.refused) == (1, 1, [])
        assert (root / "inbox/b.jpg").read_bytes() == b"b"
        assert ready(world) == []


# ------------------------------------------------------------------------- from version 0001

_TABLES = ("roots", "models", "batches", "files", "results", "corrections")
# Eleven rows of every kind, so many times over.
_MANY = """
INSERT INTO files (id, root_id, sha256, size_bytes, modified_ns, name, original_path, path,
                   source_path, state, outcome, reason, model_id, duplicate_of, received_at,
                   recorded_at, filed_at)
SELECT id + 11 * n, root_id, sha256 || '-' || n, size_bytes, modified_ns, name,
       replace(original_path, 'inbox/', 'inbox/' || n || '/'),
       replace(path, outcome || '/', outcome || '/' || n || '/'),
       replace(source_path, 'inbox/', 'inbox/' || n || '/'),
       state, outcome, reason, model_id, duplicate_of + 11 * n, received_at, recorded_at, filed_at
  FROM files, generate_series(1, 400) n ORDER BY n, id;
INSERT INTO results (file_id, model_id, rules, outcome, reason, label, p_male, confidence, faces,
                     width, height, format, batch_id, decided_at)
SELECT file_id + 11 * n, model_id, rules, outcome, reason, label, p_male, confidence, faces,
       width, height, format, batch_id, decided_at
  FROM results, generate_series(1, 400) n ORDER BY n, id;
INSERT INTO corrections (file_id, label, by, at)
SELECT file_id + 11 * n, CASE WHEN n % 3 > 0 THEN label END, by, at
  FROM corrections, generate_series(1, 400) n ORDER BY n, id;
"""


@pytest.fixture
def ledger_0001(database: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A ledger of version 0001 with some thousand rows."""
    engine = connect(
        make_url(new_database(database, f"old_{abs(hash(request.node.name))}")), writable=True
    )
    migrate(engine, "0001")
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(ROWS_0001)
        for table in _TABLES:  # the rows came with their ids
            numbers = f"pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table})"
            connection.execute(text(f"SELECT setval({numbers})"))
        driver.execute(_MANY)
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence('files', 'id'), max(id)) FROM files")
        )
    yield engine
    engine.dispose()


def rows_of(engine: Engine, query: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def test_the_upgrade_from_0001_keeps_every_row_in_postgresql_too(ledger_0001: Engine) -> None:
    queries = {name: f"SELECT * FROM {name} ORDER BY id" for name in _TABLES}
    before = {name: rows_of(ledger_0001, query) for name, query in queries.items()}
    shown = rows_of(ledger_0001, VIEW_0001)
    assert len(shown) == 11 * 401
    with ledger_0001.begin() as open_transaction:
        open_transaction.execute(text("SELECT version_num FROM alembic_version"))
        with pytest.raises(Trouble) as error, translated(ledger_0001):
            migration.upgrade_with_snapshot(ledger_0001)  # a service of another root writes
        assert error.value.reason == "database_busy"
    assert migration.upgrade_with_snapshot(ledger_0001) is None
    for name, old in before.items():
        new = rows_of(ledger_0001, queries[name])
        assert [{key: row[key] for key in old[0]} for row in new] == old
    assert rows_of(ledger_0001, VIEW_0001) == shown

    first = rows_of(ledger_0001, "SELECT * FROM results ORDER BY id LIMIT 1")[0]
    assert [first[name] for name in ("crop", "min_confidence", "bodies")] == ["face", 0.85, 0.95]
    asked = {
        "moves": "SELECT count(*) AS n FROM moves WHERE why = 'earlier'",
        "filed": "SELECT count(*) AS n FROM files WHERE filed_at IS NOT NULL",
        "without": "SELECT count(*) AS n FROM files WHERE result_id IS NULL",
        "by": "SELECT count(*) AS n FROM corrections WHERE how <> 'command'",
    }
    found = {name: rows_of(ledger_0001, query)[0]["n"] for name, query in asked.items()}
    assert found == {"moves": 10 * 401, "filed": 10 * 401, "without": 0, "by": 0}
    with ledger_0001.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.timeout(300)
def test_an_upgraded_ledger_in_postgresql_is_worked_on(
    ledger_0001: Engine, root: Path, model: Path, tmp_path: Path
) -> None:
    migration.upgrade_with_snapshot(ledger_0001)
    (known,) = rows_of(ledger_0001, "SELECT uuid FROM roots")
    (root / ".gdwatch" / "root-id").write_text(f"{known['uuid']}\n")
    database = ledger_0001.url.set(drivername="postgresql").render_as_string(hide_password=False)
    given = build.arguments(
        root, {"model": model, "settle_ms": 50, "workers": 1, "database": database}
    )
    build.put(root, "new.png", photograph(1, BRIGHT))
    done = gdwatch("run", "--once", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (new,) = rows_of(ledger_0001, "SELECT * FROM current_results WHERE name = 'new.png'")
    assert (new["id"], new["path"], new["root"]) == (11 * 401 + 1, "male/new.png", str(root))
    for words in (("correct", "male/new.png", "female"), ("undo",)):
        done = gdwatch(*words, *given, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    commands = rows_of(ledger_0001, "SELECT name FROM commands ORDER BY id")
    assert [row["name"] for row in commands] == ["run", "correct", "undo"]
    one = f"WHERE file_id = {new['id']}"
    counts = {name: rows_of(ledger_0001, f"SELECT count(*) AS n FROM {name} {one}")[0]["n"]
              for name in ("results", "moves", "corrections", "changes")}  # fmt: skip
    assert counts == {"results": 1, "moves": 3, "corrections": 2, "changes": 1}
