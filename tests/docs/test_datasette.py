"""deploy/datasette-metadata.yaml: it names what the schema has, and its questions can be asked."""

import re

import pytest

from tests.docs.pages import TOP
from tests.docs.test_sql import ledger

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

METADATA = yaml.safe_load((TOP / "deploy/datasette-metadata.yaml").read_text(encoding="utf-8"))
RESULTS = METADATA["databases"]["results"]
ASKED = {
    "name": "anna.jpg", "id": 3, "day": "2026-11-20", "since": "2026-11-20", "until": "2026-11-27",
}  # fmt: skip

__all__ = ["ledger"]  # the fixture


def test_its_tables_and_columns_are_those_of_the_schema(ledger):
    for name, table in RESULTS["tables"].items():
        there = {row[1] for row in ledger.execute(f"PRAGMA table_info({name})")}
        assert there, name
        named = {*table.get("columns", ()), *table.get("sortable_columns", ())}
        named |= {table["label_column"]} if "label_column" in table else set()
        assert named <= there, name


@pytest.mark.parametrize("name", RESULTS["queries"])
def test_a_question_finds_rows_and_reads_no_whole_table(ledger, name):
    query = RESULTS["queries"][name]["sql"]
    assert set(re.findall(r":([a-z]+)", query)) <= set(ASKED)
    assert ledger.execute(query, ASKED).fetchall()
    plan = [row[3] for row in ledger.execute(f"EXPLAIN QUERY PLAN {query}", ASKED)]
    assert not [step for step in plan if step.startswith("SCAN")]
