"""The ledger in PostgreSQL: the same rows as in SQLite, on a server that this test starts."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from gdwatch.jobs.named_files import all_files
from gdwatch.jobs.restore import RestoreOptions, restore
from tests import build
from tests.build import BRIGHT, DARK, gdwatch, photograph
from tests.gdwatch.conftest import world_at
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
