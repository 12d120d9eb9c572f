"""Writes the man pages from the words of `--help` and of the settings: `make man`.

    python deploy/man_page.py FOLDER

makes `gdwatch.1` and `gdtrain.1` there.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from gdwatch import __version__, cli, errors
from gdwatch.settings import CONFIG_FILES, Settings
from train import cli as train_cli

Command = Any  # of the click that typer brings along, which has no public name


def page(name: str, top: Command) -> str:
    """Return one page in man(7). top: the command with all the others below it."""
    first, *others = (command for _, command in _leaves(top, ()))
    common = [each for each in first.params if all(_has(other, each) for other in others)]
    what, *about = inspect.cleandoc(top.help).splitlines()
    return "\n".join([
        f'.TH {name.upper()} 1 "" "gdwatch {__version__}"',
        ".SH NAME", rf"{name} \- {_text(what.rstrip('.'))}",
        ".SH SYNOPSIS", rf".B {name}", r"[\fIOPTION\fR] \fICOMMAND\fR [\fIARGUMENT\fR]...",
        *(_text(line) for line in about),
        ".SH OPTIONS", *_options(top.params),
        *((".PP", "Every command takes:", *_options(common)) if common else ()),
        ".SH COMMANDS", *_commands(top, common),
    ])  # fmt: skip


def settings() -> Iterator[str]:
    """Yield the sections on settings, files and exit statuses, of gdwatch alone."""
    yield ".SH SETTINGS"
    yield _text("Given by `--set NAME=VALUE`, as GDWATCH_NAME in the environment, or in a file.")
    for name, field in Settings.model_fields.items():
        yield from (".TP", rf".B {_text(name)}", _text(field.description or ""))
        if field.default is not None and not isinstance(field.default, tuple):
            yield _text(f"[{field.default}]")
    yield ".SH FILES"
    for file in CONFIG_FILES:
        yield from (".TP", rf".I {_text(str(file))}", "Settings; the first that is there.")
    yield ".SH EXIT STATUS"
    yield from (".TP", ".B 0", "It was done.")
    kinds = {each.status: each for each in errors.GdwatchError.__subclasses__()}
    for status, kind in sorted({**kinds, 1: errors.GdwatchError}.items()):
        said = (inspect.getdoc(kind) or "").splitlines()[0].partition(": exit status")[0]
        yield from (".TP", rf".B {status}", _text(said + "."))


def _leaves(group: Command, before: tuple[str, ...]) -> Iterator[tuple[str, Command]]:
    """Yield the commands that do something, each with its words: `db upgrade`."""
    for name, command in group.commands.items():
        words = (*before, name)
        if hasattr(command, "commands"):
            yield from _leaves(command, words)
        else:
            yield " ".join(words), command


def _has(command: Command, option: Command) -> bool:
    return any((each.opts, each.help) == (option.opts, option.help) for each in command.params)


def _commands(top: Command, common: list[Command]) -> Iterator[str]:
    """Yield a section for each command; the options that all take are not told again."""
    known = [each.opts for each in common]
    for words, command in _leaves(top, ()):
        arguments = [each.metavar or each.name.upper() for each in command.params
                     if each.param_type_name == "argument"]  # fmt: skip
        yield rf".SS {_text(' '.join((words, *arguments)))}"
        yield _text(inspect.cleandoc(command.help or ""))
        yield from _options(each for each in command.params if each.opts not in known)


def _options(params: Iterable[Command]) -> Iterator[str]:
    for each in params:
        if each.param_type_name != "option" or getattr(each, "hidden", False):
            continue
        value = "" if each.is_flag else rf" \fI{_text(each.metavar or each.name.upper())}\fR"
        names = ", ".join(rf"\fB{_text(name)}\fR" for name in each.opts)
        yield from (".TP", names + value, _text(each.help or ""))


def _text(text: str) -> str:
    """Escape for roff: no line begins with a control character, and all is ASCII."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", "")
    ascii_ = "".join(each if each.isascii() else rf"\[u{ord(each):04X}]" for each in escaped)
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in ascii_.split("\n"))


def main(folder: Path) -> None:
    """Write both pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, app in (("gdwatch", cli.app), ("gdtrain", train_cli.app)):
        text = page(name, typer.main.get_command(app))
        if name == "gdwatch":
            text = "\n".join((text, *settings()))
        (folder / f"{name}.1").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
