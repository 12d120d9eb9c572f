"""docs/architecture.md: the rooms and the names are those of the code."""

import ast
import re
from pathlib import Path

import gdwatch
from tests.docs.pages import DOCS, code, rows, section, text_of, without_code

TEXT = text_of(DOCS / "architecture.md")
PACKAGE = Path(gdwatch.__file__).parent


def told() -> list[str]:
    return [name for row in rows(section(TEXT, "The rooms")) for name in code(row[0])]


def test_every_room_is_a_sub_package_and_every_sub_package_a_room():
    packages = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert sorted(name.rstrip("/") for name in told() if name.endswith("/")) == sorted(packages)


def test_what_stands_in_no_room_is_in_the_table():
    modules = {file.stem for file in PACKAGE.glob("*.py")} - {"__init__"}
    assert sorted(name for name in told() if not name.endswith("/")) == sorted(modules)


def test_the_drawing_has_the_rooms_of_the_table():
    drawing = section(TEXT, "The rooms").split("```")[1]
    assert set(re.findall(r"\w+/", drawing)) == {name for name in told() if name.endswith("/")}


def test_a_room_may_import_what_is_in_the_table():
    names = {name.rstrip("/") for name in told()}
    for row in rows(section(TEXT, "The rooms")):
        assert {name.rstrip("/") for name in code(row[2])} <= names, row[0]


def test_every_class_that_is_named_is_one_of_the_code():
    classes = {
        node.name
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    named = {name for name in code(without_code(TEXT)) if re.fullmatch(r"([A-Z][a-z]+)+", name)}
    assert len(named) > 10
    assert sorted(named - classes) == []


def test_the_glossary_is_sorted_and_has_each_word_once():
    words = [row[0] for row in rows(section(TEXT, "Glossary"))]
    assert words == sorted(set(words))
