import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gdwatch
from gdwatch import log
from tests import build

PACKAGE = Path(gdwatch.__file__).parent
EVENT = re.compile(r"[a-z]+\.[a-z_]+")


def promised() -> set[str]:
    """The closed list: `group.one|two` stands for two events."""
    assert log.__doc__ is not None
    words = re.findall(r"([a-z]+)\.([a-z_|]+)", log.__doc__.partition("Events:")[2])
    return {f"{group}.{name}" for group, names in words for name in names.split("|")}


def logged_in(file: Path) -> set[str]:
    """The events that a module logs under their own names."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "log"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def texts_in(file: Path) -> set[str]:
    """Every text of a module; some events are chosen from a table before they are logged."""
    constants = [node for node in ast.walk(ast.parse(file.read_text()))
                 if isinstance(node, ast.Constant)]  # fmt: skip
    return {node.value for node in constants if isinstance(node.value, str)}


def test_every_event_is_on_the_list() -> None:
    logged = set().union(*map(logged_in, PACKAGE.rglob("*.py")))
    assert len(logged) > 20
    assert logged <= promised()


def test_every_event_of_the_list_is_logged_somewhere() -> None:
    texts = set().union(*map(texts_in, PACKAGE.rglob("*.py")))
    assert promised() - texts == set()


def test_an_event_is_two_words_and_never_holds_a_name() -> None:
    assert all(EVENT.fullmatch(event) for event in promised())


def logged_to(file: Path, code: str, **variables: str) -> list[str]:
    """What a program of these lines logs; `{stream}` in a variable is its standard error."""
    with file.open("w") as stream:
        status = os.fstat(stream.fileno())
        stands_for = {"stream": f"{status.st_dev}:{status.st_ino}"}
        given = {name: value.format(**stands_for) for name, value in variables.items()}
        subprocess.run(
            [sys.executable, "-c", f"import structlog; from gdwatch import log\n{code}"],
            stderr=stream, env=build.environment(**given), check=True,
        )  # fmt: skip
    return file.read_text().splitlines()


EVERY_LEVEL = """
log.set_up("debug", "{format}")
logger = structlog.get_logger()
for level in ("debug", "info", "warning", "error"):
    getattr(logger, level)("file.unsure", name="a\\nb")
"""


def test_in_the_journal_each_line_begins_with_its_priority(tmp_path: Path) -> None:
    code = EVERY_LEVEL.format(format="auto")
    lines = logged_to(tmp_path / "log", code, JOURNAL_STREAM="{stream}")
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>"]
    assert all(json.loads(line[3:])["event"] == "file.unsure" for line in lines)


def test_lines_for_people_have_it_too(tmp_path: Path) -> None:
    code = EVERY_LEVEL.format(format="human")
    lines = logged_to(tmp_path / "log", code, JOURNAL_STREAM="{stream}")
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>"]


@pytest.mark.parametrize("stream", ["", "1:2", "nonsense"])
def test_elsewhere_no_line_has_it(tmp_path: Path, stream: str) -> None:
    code = EVERY_LEVEL.format(format="auto")
    lines = logged_to(tmp_path / "log", code, JOURNAL_STREAM=stream)
    assert all(json.loads(line) for line in lines)
    assert len(lines) == 4


def test_what_ends_a_program_is_an_error_in_the_journal(tmp_path: Path) -> None:
    code = """
from gdwatch import exit_status
from gdwatch.errors import GdwatchError
def fail():
    raise GdwatchError("a.jpg: bad", "mend it")
try:
    exit_status.run_and_exit(fail)
except SystemExit:
    pass
"""
    assert logged_to(tmp_path / "log", code, JOURNAL_STREAM="{stream}") == [
        "<3>gdwatch: a.jpg: bad; mend it"
    ]
