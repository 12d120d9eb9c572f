"""README.md: short, and true of the commands and the dependencies."""

import re
import tomllib

from tests.docs.pages import (
    README,
    TOP,
    code,
    commands_of,
    options_of,
    program,
    rows,
    section,
    text_of,
)

TEXT = text_of(README)


def table_of_commands() -> dict[str, str]:
    """Of each command, what the table says of it: `db upgrade|current` are two."""
    told: dict[str, str] = {}
    for first, says in rows(section(TEXT, "Commands")):
        words = first.strip("`").split()
        assert words.pop(0) == "gdwatch", first
        if words[0] in ("db", "model"):
            told |= {f"{words[0]} {each}": says for each in words[1].split(r"\|")}
        else:
            told[words[0]] = says
    return told


def test_the_readme_has_170_lines_at_the_most():
    assert len(TEXT.splitlines()) <= 170


def test_the_first_screen_says_what_it_is_and_how_to_start_it():
    screen = "\n".join(TEXT.splitlines()[:26])
    for needed in ("gdwatch watches an inbox folder", "make run", "make test", "current_results"):
        assert needed in screen, needed


def test_every_command_that_help_lists_stands_in_the_readme():
    for name in program("gdwatch").commands:
        assert f"gdwatch {name}" in TEXT


def test_the_table_of_commands_is_that_of_the_program():
    assert table_of_commands().keys() == commands_of(program("gdwatch")).keys()


def test_every_option_in_the_table_of_commands_is_one_of_its_command():
    commands = commands_of(program("gdwatch"))
    for name, says in table_of_commands().items():
        told = {word for span in code(says) for word in span.split() if re.match(r"-\w|--\w", word)}
        assert told <= options_of(commands[name]), name


def test_every_command_takes_what_the_readme_says_that_all_take():
    sentence = section(TEXT, "Commands").split("\n\n")[1]
    common = {word for span in code(sentence) for word in span.split() if word.startswith("--")}
    assert len(common) == 4
    for name, command in commands_of(program("gdwatch")).items():
        assert common <= options_of(command), name


def test_every_dependency_has_its_line():
    project = tomllib.loads(text_of(TOP / "pyproject.toml"))["project"]
    wanted = [*project["dependencies"]]
    for some in project["optional-dependencies"].values():
        wanted += some
    names = {re.split(r"[\[<>=]", each)[0] for each in wanted}
    told = {name for row in rows(section(TEXT, "Dependencies")) for name in bold(row[0])}
    assert told == names


def test_a_dependency_of_an_extra_is_told_with_an_extra_that_has_it():
    extras = tomllib.loads(text_of(TOP / "pyproject.toml"))["project"]["optional-dependencies"]
    for names, why in rows(section(TEXT, "Dependencies")):
        if why.startswith("extra"):
            (extra,) = code(why.partition(":")[0])
            for name in bold(names):
                assert any(re.split(r"[\[<>=]", each)[0] == name for each in extras[extra]), name


def bold(cell: str) -> list[str]:
    return re.findall(r"\*\*([^*]+)\*\*", cell)
