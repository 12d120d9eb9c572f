"""What Ctrl-C means to a command whose work is kept as it goes."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gdwatch.errors import GdwatchError


@contextmanager
def resumable(hint: str = "the same command goes on") -> Iterator[None]:
    """Turn Ctrl-C into an error of one line with this hint."""
    try:
        yield
    except (KeyboardInterrupt, typer.Abort) as error:
        raise GdwatchError("stopped", hint) from error
