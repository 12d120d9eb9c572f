"""Whatever a document points to is there: files, headings, modules, commands."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import (
    DOCS,
    TOP,
    anchors,
    commands_of,
    documents,
    links,
    name_of,
    options_of,
    program,
    shown_commands,
    text_of,
)

PATH = re.compile(
    r"(?<![\w./-])((?:gdwatch|train|tests|migrations|docs)/(?:[\w./-]+\.(?:py|md|sql|mako)|[a-z_/]+/))"
)
EXAMPLE = re.compile(r"[A-Z]{4,}[\w/.]*\.py$")  # tests/gdwatch/ROOM/test_MODULE.py
OF_ALL = ("--help", "--version", "--install-completion", "--show-completion")
every_document = pytest.mark.parametrize("page", documents(), ids=name_of)


def test_the_documents_are_found():
    assert {"README.md", "CONTRIBUTING.md", "docs/faults.md", "train/RESULTS.md"} <= {
        name_of(page) for page in documents()
    }


@every_document
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in links(text_of(page)):
        file, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue  # elsewhere
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(text_of(target))):
            broken.append(link)
    assert broken == []


@every_document
def test_every_path_that_is_named_is_there(page: Path) -> None:
    named = sorted(path for path in set(PATH.findall(text_of(page))) if not EXAMPLE.search(path))
    assert [path for path in named if not (TOP / path).exists()] == []


@every_document
def test_every_command_that_is_shown_can_be_given(page: Path) -> None:
    for name, words in shown_commands(text_of(page)):
        commands = commands_of(program(name))
        command = commands.get(" ".join(words[:2])) or commands.get(words[0])
        assert command is not None, words
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
        assert options <= options_of(command), words


@every_document
def test_every_command_in_the_text_is_one(page: Path) -> None:
    groups = {name: program(name) for name in ("gdwatch", "gdtrain")}
    for name, word in re.findall(r"`(gdwatch|gdtrain) ([a-z-]+)", text_of(page)):
        assert word in groups[name].commands or word in OF_ALL, f"{name} {word}"


def test_every_page_is_reached_from_the_readme():
    linked = {
        (TOP / link.partition("#")[0]).resolve() for link in links(text_of(TOP / "README.md"))
    }
    assert set(DOCS.glob("*.md")) <= linked
