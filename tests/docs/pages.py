"""The documents of the repository, and what a reader finds in them: tables, links, commands."""

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

TOP = Path(__file__).parents[2]
README = TOP / "README.md"
DOCS = TOP / "docs"
_NOT_OURS = {"dist", "gdwatch-data", "site-packages"}

Row = list[str]
Command = Any  # typer's, which comes from a part of it that has no name of its own


def documents() -> list[Path]:
    """Every document of the repository."""
    found = (path.relative_to(TOP) for path in TOP.rglob("*.md"))
    return sorted(
        TOP / path
        for path in found
        if not any(part.startswith(".") or part in _NOT_OURS for part in path.parts)
    )


def name_of(path: Path) -> str:
    """What the tests call a document."""
    return str(path.relative_to(TOP))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one."""
    begin = re.search(rf"^#+ {re.escape(heading)}$", text, re.MULTILINE)
    assert begin, heading
    return re.split(r"^#+ ", text[begin.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[Row]:
    """The cells of every table, without the lines that only head it."""
    lines = [line for line in text.splitlines() if line.startswith("| ") or line.startswith("|-")]
    found: list[Row] = []
    for line in lines:
        if re.fullmatch(r"[|: -]+", line):
            found.pop()  # what stands over this line is the head
        else:
            found.append([each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def code(cell: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def without_code(text: str) -> str:
    """A text without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What links may point to, by GitHub's rule."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.strip().replace(" ", "-"))
    return found


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


# ------------------------------------------------------------------------- commands


def program(name: str) -> Command:
    """A program of this project, as its own command line describes it."""
    project = tomllib.loads(text_of(TOP / "pyproject.toml"))["project"]
    module, _, _ = project["scripts"][name].partition(":")
    for place in (module, module.replace("__main__", "cli")):
        app = getattr(importlib.import_module(place), "app", None)
        if app is not None:
            return typer.main.get_command(app)
    raise AssertionError(f"{name} has no commands")


def commands_of(group: Command, before: tuple[str, ...] = ()) -> dict[str, Command]:
    """Every command by its words: `run`, `db upgrade`."""
    found: dict[str, Command] = {}
    for name, command in group.commands.items():
        words = (*before, name)
        if hasattr(command, "commands"):
            found |= commands_of(command, words)
        else:
            found[" ".join(words)] = command
    return found


def options_of(command: Command) -> set[str]:
    return {"--help"} | {word for each in command.params for word in each.opts}


def shown_commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of ours in blocks of shell lines: the program and the words that follow."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for command in re.split(r"\s#", line)[0].removeprefix("$ ").split("&&"):
                words = re.sub(r"^sudo -u \w+ ", "", command.strip()).split()
                name = words[0].rpartition("/")[2] if words else ""
                if name in ("gdwatch", "gdtrain"):
                    yield name, words[1:]
