import ast
import re
from pathlib import Path

import gdwatch
from gdwatch import log

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
