"""What README.md shows is what happens."""

import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event

from gdwatch.ledger import schema
from gdwatch.settings import Settings

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"```sql\n(.*?)```\n+```text\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A ledger of this version with the rows of readme_ledger.sql."""
    path = tmp_path_factory.mktemp("readme") / "results.db"
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def connected(connection, _):
        connection.isolation_level = None

    with engine.begin() as connection:
        schema.upgrade(connection)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript((TOP / "tests/readme_ledger.sql").read_text(encoding="utf-8"))
        yield connection


def answer(ledger, question):
    """Rows as the sqlite3 command prints them."""
    rows = ledger.execute(question).fetchall()
    return "\n".join("|".join("" if v is None else str(v) for v in row) for row in rows)


def test_there_are_ten_questions_with_answers():
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize(("question", "expected"), QUESTIONS)
def test_a_question_has_the_answer_that_the_readme_gives(ledger, question, expected):
    assert answer(ledger, question) == expected.strip()


def settings_table():
    """The README's table of settings, made from the settings themselves."""
    lines = ["| setting | default | |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if default is None:
            shown = ""
        elif isinstance(default, tuple):
            shown = " ".join(f"`{value}`" for value in default)
        else:
            shown = f"`{default}`"
        lines.append(f"| `{name}` | {shown} | {field.description} |")
    return "\n".join(lines)


def test_the_table_of_settings_is_that_of_the_program():
    assert settings_table() in README


def test_every_command_that_help_lists_stands_in_the_readme():
    from typer.main import get_command

    from gdwatch.cli import app

    for name in get_command(app).commands:
        assert f"gdwatch {name}" in README


def test_every_dependency_has_its_line():
    project = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[(.*?)\]", project, re.DOTALL | re.MULTILINE)
    for name in re.findall(r'"([a-z-]+)', block[1]):
        assert f"**{name}**" in README, name
