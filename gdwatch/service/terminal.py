"""What a person at the service's terminal reads beside the log: where to begin, and how it went.

Where standard error is no terminal, or the log there is JSON, nothing of this is written.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

from gdwatch import __version__
from gdwatch.files import escaping
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import OUTCOMES, Outcome

_IDLE_S = 3.0  # without a decision, before what was filed is summed up


class Terminal:
    """The terminal of one service.

    stream: standard error.
    call: how a person calls a command of this gdwatch for this root: `status` gives
        `gdwatch status --root /srv/photographs`.
    """

    def __init__(
        self, folders: Folders, settings: Settings, stream: TextIO, call: Callable[[str], str]
    ) -> None:
        self._folders = folders
        self._call = call
        self._stream = stream
        self._is_there = stream.isatty() and settings.log_format != "json"
        self._filed: Counter[Outcome] = Counter()
        self._summed_up = 0  # how many were filed when they were last summed up
        self._filed_at_s = 0.0

    def welcome(self) -> None:
        """Say where to drop photographs, how to look at results, and how to stop."""
        self._write(
            f"gdwatch {__version__}: loads its model, then watches the inbox\n"
            f"  drop photographs    {_shown(self._folders.inbox)}/\n"
            f"  look at results     {self._answers()}\n"
            f"                      {self._call('status')}\n"
            f"                      {self._call('show PATH')}\n"
            "  stop                Ctrl-C; what is not filed by then stays in the inbox\n"
        )

    def note(self, outcomes: Iterable[Outcome], now_s: float) -> None:
        """Count files that were decided. now_s: monotonic."""
        self._filed.update(outcomes)
        self._filed_at_s = now_s

    def sum_up_when_idle(self, now_s: float) -> None:
        """Say once what was filed since the start, when there has been no more for a while."""
        if now_s - self._filed_at_s >= _IDLE_S:
            self.sum_up()

    def sum_up(self) -> None:
        """Say what was filed since the start, unless that was said already."""
        if self._filed.total() != self._summed_up:
            self._summed_up = self._filed.total()
            hint = f"; to see the unsure: {self._list_unsure()}" if self._filed["unsure"] else ""
            self._write(f"{summary(self._filed)}{hint}\n")

    def _answers(self) -> str:
        """The answer folders, those below the root by their names alone."""
        root = self._folders.root + b"/"
        names = [
            escaping.escape(path.removeprefix(root)) if path.startswith(root) else _shown(path)
            for path in self._folders.answers.values()
        ]
        return f"{_shown(self._folders.root)}/: {' '.join(f'{name}/' for name in names)}"

    def _list_unsure(self) -> str:
        return f"ls {escaping.quote_for_shell(_near(self._folders.answers['unsure']))}"

    def _write(self, text: str) -> None:
        if self._is_there:
            self._stream.write(text)


def summary(filed: Counter[Outcome]) -> str:
    """Return the counts as a person reads them: `3 filed: 2 female, 1 unsure`."""
    each = ", ".join(f"{filed[outcome]} {outcome}" for outcome in OUTCOMES if filed[outcome])
    return f"{filed.total()} filed: {each}"


def _near(path: bytes) -> bytes:
    """A path below the working folder from there, as a person would type it."""
    try:
        return path.removeprefix(os.fsencode(Path.cwd()).rstrip(b"/") + b"/")
    except FileNotFoundError:  # the working folder was removed
        return path


def _shown(path: bytes) -> str:
    return escaping.escape(_near(path))
