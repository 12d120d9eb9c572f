"""docs/sql.md: its questions are asked of a real ledger, and its tables are those of the schema."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, TOP, code, rows, section, text_of

TEXT = text_of(DOCS / "sql.md")
QUESTIONS = re.findall(r"```sql\n(.*?)```\n+```text\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A ledger of this version with the rows of ledger.sql, made as an operator makes one."""
    root = tmp_path_factory.mktemp("root")
    subprocess.run(
        [sys.executable, "-m", "gdwatch", "db", "upgrade", "--root", root],
        check=True, env={**os.environ, "PYTHONPATH": str(TOP)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    connection = sqlite3.connect(root / "results.db")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript((Path(__file__).parent / "ledger.sql").read_text(encoding="utf-8"))
    yield connection
    connection.close()


def answer(ledger: sqlite3.Connection, question: str) -> str:
    """Rows as the sqlite3 command prints them."""
    rows = ledger.execute(question).fetchall()
    return "\n".join("|".join("" if v is None else str(v) for v in row) for row in rows)


def test_there_are_thirty_questions_with_answers():
    assert len(QUESTIONS) == 30
    numbers = re.findall(r"^(\d+)\. .*\?$", TEXT, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 31)]


def test_the_questions_that_read_a_whole_table_are_named(ledger):
    (named,) = re.findall(r"^Questions ([\d,\s]+ and \d+) read a whole table", TEXT, re.MULTILINE)
    plans = {
        number: [row[3] for row in ledger.execute(f"EXPLAIN QUERY PLAN {question}")]
        for number, (question, _) in enumerate(QUESTIONS, 1)
    }
    whole = [n for n, plan in plans.items() if any(step.startswith("SCAN") for step in plan)]
    assert [int(number) for number in re.findall(r"\d+", named)] == whole


@pytest.mark.parametrize(("question", "expected"), QUESTIONS)
def test_a_question_has_the_answer_that_the_page_gives(ledger, question, expected):
    assert answer(ledger, question) == expected.strip()


def test_every_column_of_the_view_is_explained_in_its_order(ledger):
    columns = [each[1] for each in ledger.execute("PRAGMA table_info(current_results)")]
    told = [code(row[0])[0] for row in rows(section(TEXT, "The view current_results"))]
    assert told == columns


def test_every_table_is_explained(ledger):
    names = ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    wanted = {name for (name,) in names if not name.startswith("sqlite_")}
    assert {code(row[0])[0] for row in rows(section(TEXT, "What it holds"))} == wanted
