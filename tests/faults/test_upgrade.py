"""An upgrade of the ledger, killed at any step, by a next gdwatch that has one more migration."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults.case import Case
from tests.faults.launch import REPOSITORY, Fault, call
from tests.faults.surroundings import refused

NEXT = '''
"""Give each file a note; made anew, as SQLite must for most changes."""
import warnings
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

def upgrade():
    view = op.get_bind().execute(
        sa.text("SELECT sql FROM sqlite_master WHERE name = 'current_results'")
    ).scalar_one()
    op.execute("DROP VIEW current_results")
    warnings.simplefilter("ignore")  # that checks without a name are lost
    with op.batch_alter_table("files", recreate="always") as files:
        files.add_column(sa.Column("note", sa.Text()))
    op.execute(view)
'''


@pytest.fixture(scope="module")
def next_gdwatch(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The call that makes a run one of the next version."""
    folder = tmp_path_factory.mktemp("next") / "migrations"
    shutil.copytree(REPOSITORY / "migrations", folder)
    (folder / "versions" / "0003_add_note.py").write_text(NEXT)
    return call("tests.faults.acts:be_next", migrations=str(folder))


def book(path: Path) -> dict[str, Any]:
    """What a ledger is, whatever its version; reading it brings it back from a crash."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        columns = [row[1] for row in connection.execute("PRAGMA table_info(files)")]
        names = ("id", "sha256", "path", "state")
        return {
            "version": version,
            "has note": "note" in columns,
            "files": connection.execute(f"SELECT {', '.join(names)} FROM files").fetchall(),
            "results": connection.execute("SELECT count(*) FROM results").fetchone()[0],
            "shown": connection.execute("SELECT count(*) FROM current_results").fetchone()[0],
            "sound": connection.execute("PRAGMA integrity_check").fetchone()[0],
            "strangers": connection.execute("PRAGMA foreign_key_check").fetchall(),
        }


@pytest.mark.parametrize(
    ("at", "when", "nth"),
    [
        ("gdwatch.ledger.migration:take_snapshot", "before", 1),
        ("gdwatch.files.atomic_write:_sync", "before", 1),
        ("gdwatch.files.atomic_write:_sync", "after", 2),
        ("gdwatch.ledger.migration:upgrade", "after", 1),
        ("C6.commit", "after", 2),
    ],
)
def test_a_killed_upgrade_is_repeated_safely(
    case: Case, next_gdwatch: Mapping[str, Any], at: str, when: Any, nth: int
) -> None:
    case.drop_mixture(9)
    case.run("run", "--once")
    ledger = case.root / "results.db"
    before = book(ledger)
    after = {**before, "version": "0003", "has note": True}
    case.drop("later.png")
    next_one = [next_gdwatch]

    older = case.start("run", before=next_one, allowed=(78,))
    refused(case, older, "version 0002, this gdwatch writes 0003", "run `gdwatch db upgrade`")
    killed = case.run(
        "db", "upgrade", before=next_one, faults=[Fault(at, when, nth)], allowed=(-9,)
    )
    assert killed.hits
    assert book(ledger) in (before, after)
    if book(ledger) == after:
        assert [book(snapshot) for snapshot in case.root.glob("*.snapshot")] == [before]
    case.look_after_fault()

    again = case.run("db", "upgrade", before=next_one)
    assert "version 0003" in again.answer()
    assert book(ledger) == after
    snapshots = list(case.root.glob("results.db.0002.*.snapshot"))
    assert snapshots
    assert all(book(snapshot) == before for snapshot in snapshots)
    assert sorted(os.listdir(case.root)) == sorted(
        [".gdwatch", "female", "inbox", "male", "rejected", "results.db", "unsure",
         *(path.name for path in snapshots)]
    )  # fmt: skip
    case.run("run", "--once", before=next_one)
    case.judge()
    newer = case.start("run", allowed=(78,))
    refused(case, newer, "version 0003 is newer than this gdwatch")
