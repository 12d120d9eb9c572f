"""The page of promises names tests; they must be there."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
PAGE = (HERE / "docs" / "promises.md").read_text()
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", PAGE)


def found_in(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_a_promise_names_is_there(file: str) -> None:
    assert {name for where, name in NAMED if where == file} <= found_in(HERE / file)


def test_every_promise_names_a_test() -> None:
    promised, _, _ = PAGE.partition("## What is not promised")
    promises = re.split(r"^- ", promised, flags=re.MULTILINE)[1:]
    assert len(promises) > 20
    assert [each for each in promises if "::test_" not in each] == []
