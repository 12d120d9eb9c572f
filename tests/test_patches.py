"""What a test replaces is there: a name that moved must not leave a test that tries nothing."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
IMPORT = re.compile(
    r"from ((?:gdwatch|train)[\w.]*) import (\w+(?:, \w+)*)"
)  # in code that is text
NAME = re.compile(r"(gdwatch|train)(\.[A-Za-z_]\w*)+(:[A-Za-z_][\w.]*)?")
# Files that are called like modules.
FILES = {"gdwatch.service", "gdwatch.service.d", "gdwatch.toml", "train.md"}


def names_in(file: Path) -> Iterator[str]:
    """Every text that names a module of ours, or something in one: `gdwatch.lock:hold`."""
    for node in ast.walk(ast.parse(file.read_text())):
        text = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(text, str):
            continue
        if NAME.fullmatch(text) and text not in FILES:
            yield text
        for module, imported in IMPORT.findall(text):
            yield from (f"{module}.{name}" for name in imported.split(", "))


def assigned_in(file: Path) -> Iterator[str]:
    """Every attribute of a module of ours that a test assigns to: `engine.on_card = …`."""
    tree = ast.parse(file.read_text())
    modules = {
        each.asname or each.name: f"{node.module}.{each.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gdwatch")
        for each in node.names
    }
    stored = [node for node in ast.walk(tree)
              if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]  # fmt: skip
    for node in stored:
        if isinstance(node.value, ast.Name) and node.value.id in modules:
            yield f"{modules[node.value.id]}.{node.attr}"


def resolve(name: str) -> object:
    """What a name stands for. Raises ImportError or AttributeError where nothing is there."""
    module, colon, path = name.partition(":")
    if colon:
        found: object = importlib.import_module(module)
    else:
        *_, steps = longest_module(name)
        found, path = steps
    for step in filter(None, path.split(".")):
        found = getattr(found, step)
    return found


def longest_module(name: str) -> Iterator[tuple[object, str]]:
    """The modules that a dotted name begins with, each with what follows; the longest last."""
    steps = name.split(".")
    for count in range(1, len(steps) + 1):
        try:
            yield importlib.import_module(".".join(steps[:count])), ".".join(steps[count:])
        except ModuleNotFoundError:
            return


OTHERS = [file for file in sorted(HERE.rglob("*.py")) if file != Path(__file__)]
NAMED = sorted(
    {
        (name, str(file.relative_to(HERE)))
        for file in OTHERS
        for name in (*names_in(file), *assigned_in(file))
    }
)


def test_names_are_found() -> None:
    assert len(NAMED) > 100


@pytest.mark.parametrize(("name", "file"), NAMED)
def test_what_a_test_names_is_there(name: str, file: str) -> None:
    resolve(name)


@pytest.mark.parametrize(
    "name", ["gdwatch.pipeline.worker_pool:_refusal", "gdwatch.nowhere", "gdwatch.root.lock.x"]
)
def test_what_is_not_there_is_noticed(name: str) -> None:
    with pytest.raises((ImportError, AttributeError)):
        resolve(name)
