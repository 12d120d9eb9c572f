import os
import pty
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gdwatch.service.terminal import Terminal, summary
from tests import build


class Screen:
    """A real terminal in place of standard error."""

    def __init__(self) -> None:
        self._screen, keyboard = pty.openpty()
        self.stream = os.fdopen(keyboard, "w", buffering=1)

    def text(self) -> str:
        """What was written since the last look."""
        print(end="\0", file=self.stream, flush=True)
        shown = b""
        while not shown.endswith(b"\0"):
            shown += os.read(self._screen, 4096)
        return shown[:-1].decode().replace("\r\n", "\n")

    def close(self) -> None:
        self.stream.close()
        os.close(self._screen)


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen()
    yield made
    made.close()


def terminal(screen: Screen, root: Path, **settings: object) -> Terminal:
    folders, chosen = build.folders_of(root, **settings)
    return Terminal(folders, chosen, screen.stream, ".venv/bin/gdwatch {} --root here".format)


def test_the_first_screen_says_where_to_drop_where_to_look_and_how_to_stop(
    screen: Screen, root: Path
) -> None:
    terminal(screen, root).welcome()
    shown = screen.text()
    assert f"drop photographs    {root}/inbox/\n" in shown
    assert f"look at results     {root}/: female/ male/ unsure/ rejected/\n" in shown
    assert ".venv/bin/gdwatch status --root here\n" in shown
    assert "stop                Ctrl-C" in shown


def test_folders_below_the_working_folder_are_named_from_there(
    screen: Screen, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    terminal(screen, root, male=root / "his photographs").welcome()
    shown = screen.text()
    assert "drop photographs    root/inbox/\n" in shown
    assert "root/: female/ his photographs/ unsure/ rejected/\n" in shown


def test_what_was_filed_is_summed_up_once_when_no_more_comes(screen: Screen, root: Path) -> None:
    shown = terminal(screen, root)
    shown.sum_up_when_idle(100.0)
    shown.note(["female", "male", "unsure", "female"], 100.0)
    shown.sum_up_when_idle(101.0)
    assert screen.text() == ""
    shown.sum_up_when_idle(104.0)
    shown.sum_up_when_idle(200.0)
    (line,) = screen.text().splitlines()
    assert line == f"4 filed: 2 female, 1 male, 1 unsure; to see the unsure: ls {root}/unsure"


def test_the_sum_is_of_all_since_the_start(screen: Screen, root: Path) -> None:
    shown = terminal(screen, root)
    for moment in (10.0, 20.0):
        shown.note(["male"], moment)
        shown.sum_up_when_idle(moment + 5)
    assert screen.text() == "1 filed: 1 male\n2 filed: 2 male\n"


def test_where_the_log_is_json_the_screen_has_nothing_else(screen: Screen, root: Path) -> None:
    silent = terminal(screen, root, log_format="json")
    silent.welcome()
    silent.note(["male"], 1.0)
    silent.sum_up()
    assert screen.text() == ""


def test_a_sum_names_only_what_there_is() -> None:
    assert summary(Counter({"rejected": 2, "female": 1})) == "3 filed: 1 female, 2 rejected"
