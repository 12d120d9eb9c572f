"""docs/sql.md: its questions are asked of a real ledger, and its tables are those of the schema."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gdwatch.ledger import opening
from gdwatch.settings import Settings
from tests.bench.large_ledger import fill
from tests.bench.questions import of_large, questions
from tests.docs.pages import DOCS, TOP, code, rows, section, text_of

TEXT = text_of(DOCS / "sql.md")
QUESTIONS = [(sql, answer) for _, sql, answer in questions()]
_ROWS = 50_000
# Of SQLite's virtual machine. To read all rows of a table takes more than twice as many.
_STEPS = 100_000


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


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A ledger of two years, with so many rows that what reads them all stands out."""
    file = tmp_path_factory.mktemp("large") / "large.db"
    settings = Settings(root=file.parent, database=f"sqlite:///{file}")
    made = opening.open_ledger(settings, "made-up", serve=True)
    fill(made.engine, _ROWS)
    made.close(last=True)
    connection = sqlite3.connect(file)
    yield connection
    connection.close()


def steps(ledger: sqlite3.Connection, question: str) -> int:
    """How many steps SQLite's virtual machine takes for a question, to the nearest hundred."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 100
        return 0

    ledger.set_progress_handler(count, 100)
    try:
        ledger.execute(question).fetchall()
    finally:
        ledger.set_progress_handler(None, 0)
    return taken


@pytest.mark.parametrize("question", [question for question, _ in QUESTIONS])
def test_no_question_reads_the_whole_of_a_large_ledger(large, question):
    assert steps(large, of_large(question, large)) < _STEPS


def test_the_large_ledger_has_what_is_asked_for(large):
    without = [q for q, _ in QUESTIONS if not large.execute(of_large(q, large)).fetchall()]
    # None is being moved, and none was taken away: those are few in a real one, too.
    assert ["state = 'recorded'" in q or "state = 'missing'" in q for q in without] == [True, True]


def test_what_reads_the_whole_of_it_would_be_noticed(large):
    assert steps(large, "SELECT outcome, count(*) FROM files GROUP BY outcome") > _STEPS


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
