"""The options of every command, and the settings that result from them."""

import functools
import inspect
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gdwatch.errors import UsageError

if TYPE_CHECKING:  # help needs none of what settings need
    from gdwatch.settings import Loaded, Settings

Verb = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Common:
    """The values of the options that every command takes. set: as given, NAME=VALUE."""

    config: Path | None
    root: Path | None
    set: tuple[str, ...]


def command(group: typer.Typer, name: str | None = None) -> Callable[[Verb], Verb]:
    """Register a verb, whose first parameter is `Common`, with the options of every command."""

    def register(verb: Verb) -> Verb:
        @functools.wraps(verb)
        def called(**given: Any) -> None:
            given.pop("debug")
            common = Common(given.pop("config"), given.pop("root"), tuple(given.pop("set_") or ()))
            verb(common, **given)

        own = list(inspect.signature(verb).parameters.values())[1:]
        called.__signature__ = inspect.Signature([*own, *_COMMON])  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in (*own, *_COMMON)}
        group.command(name)(called)
        return verb

    return register


def _common(name: str, type_: Any, default: Any, flag: str, **words: Any) -> inspect.Parameter:
    # Typer does not check paths: the code that opens one reports it with our message and status.
    option = typer.Option(flag, readable=False, **words)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[type_, option]
    )


_COMMON = (
    _common("config", Path | None, None, "--config", metavar="FILE", help="Settings file."),
    _common("root", Path | None, None, "--root", metavar="DIR", help="Folder of all the others."),
    _common("set_", list[str] | None, None, "--set", metavar="NAME=VALUE",
            help="One setting; again and again."),
    _common("debug", bool, None, "--debug", help="Show where an error comes from."),
)  # fmt: skip


def loaded(common: Common, *, serve: bool = False) -> "Loaded":
    """Load the settings with their origins, and set up the log. serve: log as the service does.

    Raises GdwatchError.
    """
    import structlog

    from gdwatch import log, settings

    given: dict[str, str] = {}
    for pair in common.set:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: no value", "write --set NAME=VALUE")
        given[name] = value
    if common.root is not None:
        given["root"] = str(common.root)
    found = settings.load(given, common.config)
    # A command prints its answer; beside that only warnings and errors are worth a line.
    level = found.settings.log_level if serve else "warning"
    log.set_up(level, found.settings.log_format)
    if found.ignored:
        structlog.get_logger().debug("settings.ignored", variables=found.ignored)
    return found


def settings_of(common: Common) -> "Settings":
    """Load the settings of a command, and set up its log. Raises GdwatchError."""
    return loaded(common).settings


def calling(common: Common) -> Callable[[str], str]:
    """Return what makes a line for the shell of a verb, as a person calls it with these options."""
    options = [f"--set {shlex.quote(pair)}" for pair in common.set]
    if common.root is not None:
        options.insert(0, f"--root {shlex.quote(str(common.root))}")
    if common.config is not None:
        options.insert(0, f"--config {shlex.quote(str(common.config))}")
    return lambda verb: " ".join((_program(), verb, *options))


def _program() -> str:
    """This program as the shell finds it: by its name alone where that leads to it."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{Path(sys.executable).name} -m gdwatch"
    found = shutil.which(called.name)
    is_found = found is not None and Path(found).exists() and called.exists()
    return called.name if is_found and called.samefile(str(found)) else str(called)
