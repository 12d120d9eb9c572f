"""`gdwatch export`, read back by the programs that it is for."""

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
import sqlalchemy as sa

from gdwatch.ledger import view
from gdwatch.ledger.opening import open_to_read
from gdwatch.ledger.view import COLUMNS, Chosen, pages, statement
from gdwatch.root import root_id
from tests import build
from tests.build import BRIGHT, DARK, GREY, Services, gdwatch, photograph


@pytest.fixture(scope="module")
def filed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with files of every outcome, one under a name that is no UTF-8."""
    root = build.make_root(tmp_path_factory.mktemp("export") / "root")
    for name, content in (
        (b"a.png", photograph(1, BRIGHT)),
        (b'=b,"c".png', photograph(2, DARK)),
        (b"line\nbreak\xff.png", photograph(3, GREY)),
        (b"d.png", b"no picture"),
    ):
        build.put(root, name, content)
    with Services(model).ending() as services:
        services.once(root)
    return root


def exported(root: Path, *words: str) -> str:
    return gdwatch("export", *words, "--root", str(root), cwd=root).stdout


def in_the_view(root: Path, condition: str = "TRUE") -> list[dict[str, Any]]:
    return build.query(root, f"SELECT * FROM current_results WHERE {condition} ORDER BY id")


def times(rows: list[dict[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(row["recorded_at"]) for row in rows]


def test_json_lines_are_the_view(filed: Path) -> None:
    rows = [json.loads(line) for line in exported(filed, "--format", "jsonl").splitlines()]
    wanted = in_the_view(filed)
    assert len(rows) == 4
    assert [list(row) for row in rows] == [list(COLUMNS)] * 4
    for row, there in zip(rows, wanted, strict=True):
        for name in COLUMNS:
            if name.endswith("_at") and there[name]:
                assert row[name] == there[name].replace(" ", "T") + "Z"
            else:
                assert row[name] == there[name], name


def test_csv_is_read_by_pandas_polars_and_duckdb(filed: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    assert exported(filed, "-o", str(path)) == ""
    wanted = in_the_view(filed)
    one = pd.read_csv(path, parse_dates=["recorded_at"])
    assert one["sha256"].tolist() == [row["sha256"] for row in wanted]
    assert one["recorded_at"].dt.tz_localize(None).tolist() == times(wanted)
    other = pl.read_csv(path, try_parse_dates=True)
    assert other["path"].to_list() == [row["path"] for row in wanted]
    counts = f"SELECT outcome, count(*) FROM '{path}' GROUP BY ALL ORDER BY 1"
    assert duckdb.sql(counts).fetchall() == [
        ("female", 1), ("male", 1), ("rejected", 1), ("unsure", 1)
    ]  # fmt: skip
    assert '\'=b,"c".png' in one["name"].tolist()  # a spreadsheet takes no name for a formula


def test_parquet_is_read_by_pandas_polars_and_duckdb(filed: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    exported(filed, "--format", "parquet", "-o", str(path))
    wanted = in_the_view(filed)
    for name in ("id", "name", "path", "reason", "confidence", "faces", "sha256"):
        values = [row[name] for row in wanted]
        assert pl.read_parquet(path)[name].to_list() == values
        assert [each for (each,) in duckdb.sql(f"SELECT {name} FROM '{path}'").fetchall()] == values
    frame = pd.read_parquet(path)
    assert frame["recorded_at"].dt.tz_localize(None).tolist() == times(wanted)
    assert str(frame["recorded_at"].dt.tz) == "UTC"


def test_a_time_and_an_outcome_choose(filed: Path) -> None:
    def ids(*words: str) -> list[int]:
        return pd.read_csv(io.StringIO(exported(filed, *words)))["id"].tolist()

    assert ids("--outcome", "unsure") == [
        row["id"] for row in in_the_view(filed, "outcome = 'unsure'")
    ]
    assert ids("--since", "2000-01-01") == [1, 2, 3, 4]
    assert ids("--since", "2000-01-01T00:00:00+02:00", "--outcome", "male") == [
        row["id"] for row in in_the_view(filed, "outcome = 'male'")
    ]
    assert ids("--since", "9000-01-01") == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--since", "yesterday"], 2, "--since yesterday: no day or time; write 2026-11-23 or"),
        (["--outcome", "both"], 2, "--outcome both: no such outcome; one of female, male,"),
        (["--format", "parquet"], 2, "export: Parquet needs a file; name it with -o"),
        (["-o", "no/such/folder.csv"], 1, "no/such/folder.csv: No such file or directory; name"),
        (
            ["--format", "parquet", "-o", "no/such/x"],
            1,
            "no/such/x: No such file or directory; name",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    filed: Path, words: list[str], status: int, message: str
) -> None:
    done = gdwatch("export", *words, "--root", str(filed), cwd=filed)
    assert done.returncode == status
    assert done.stderr.startswith(f"gdwatch: {message}")
    assert done.stdout == ""


@pytest.fixture
def many(filed: Path, tmp_path: Path) -> Path:
    """A ledger of a thousand rows, of which half are another root's."""
    import shutil

    root = Path(shutil.copytree(filed, tmp_path / "root"))
    with closing(sqlite3.connect(root / "results.db")) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(files)")]
        own = ", ".join(name for name in names if name not in ("id", "root_id", "path"))
        connection.execute("INSERT INTO roots VALUES (9, 'u', '2026-01-01', 'other', '/other')")
        connection.execute(
            f"INSERT INTO files (id, root_id, path, {own}) "
            "WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 1009) "
            f"SELECT i, CASE i % 2 WHEN 0 THEN root_id ELSE 9 END, 'male/' || i, {own} "
            "FROM files, n WHERE files.id = 1"
        )
    return root


def test_rows_come_a_page_at_a_time_each_once_and_only_this_roots(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "_PAGE", 100)
    settings = build.make_settings(many)
    folders, _ = build.folders_of(many)
    with closing(open_to_read(settings, root_id.read_id(folders))) as ledger:
        found = list(pages(ledger, Chosen()))
        assert [len(page) for page in found] == [100] * 5 + [4]
        ids = [row.id for page in found for row in page]
        assert ids == [1, 2, 3, 4, *range(10, 1010, 2)]


def test_the_columns_are_those_of_the_view(filed: Path) -> None:
    told = build.query(filed, "PRAGMA table_info(current_results)")
    assert [row["name"] for row in told] == list(COLUMNS)


@pytest.mark.parametrize("since", [None, datetime(2026, 1, 1)])
@pytest.mark.parametrize("outcome", [None, "male"])
def test_a_page_is_read_along_the_key(
    filed: Path, since: datetime | None, outcome: str | None
) -> None:
    query = statement(1, Chosen(since, outcome), 5)
    text = str(query.compile(dialect=sa.create_engine("sqlite://").dialect,
                             compile_kwargs={"literal_binds": True}))  # fmt: skip
    plan = [row["detail"] for row in build.query(filed, f"EXPLAIN QUERY PLAN {text}")]
    assert not [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step], plan


@pytest.fixture(autouse=True)
def no_page_is_left(filed: Path) -> Iterator[None]:
    """No export changes the root or leaves a part of a file."""
    before = build.contents(filed)
    yield
    assert build.contents(filed) == before
