import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from gdwatch.intake.backlog import Backlog, backlog
from gdwatch.values import Identity
from tests import build


def of(root: Path, *but: Path) -> Backlog:
    found = backlog(*build.folders_of(root), set(map(os.fsencode, but)))
    assert found is not None
    return found


def came(path: Path, seconds_ago: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the inbox at a moment when this file came so long ago."""
    moment = path.stat().st_ctime + seconds_ago
    monkeypatch.setattr(time, "time", lambda: moment)


def test_an_empty_inbox_has_no_backlog(root: Path) -> None:
    assert of(root) == Backlog()
    assert of(root).oldest_s == 0


def test_the_oldest_is_told_with_how_long_it_waits(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build.put(root, "trip/a.png", b"1234")
    build.put(root, "b.png", b"")
    came(first, 90, monkeypatch)
    found = of(root)
    assert found.files == 2
    assert (found.oldest[0].path, found.oldest[0].size_bytes) == (os.fsencode(first), 4)
    assert round(found.oldest_s) == 90


def test_of_many_only_the_oldest_are_named(root: Path) -> None:
    for number in range(9):
        build.put(root, f"{number}.png", b"1")
    found = of(root)
    named = {each.path for each in found.oldest}
    assert (found.files, len(named)) == (9, 5)
    came = {os.fsencode(path): path.stat().st_ctime_ns for path in (root / "inbox").iterdir()}
    assert max(came[path] for path in named) <= min(came[path] for path in came.keys() - named)


def test_what_has_to_stay_and_what_is_ignored_does_not_wait(root: Path) -> None:
    stays = build.put(root, "stays.png", b"1")
    build.put(root, "half.part", b"1")
    assert of(root, stays) == Backlog()


def test_empty_folders_are_counted(root: Path) -> None:
    (root / "inbox" / "trip" / "day").mkdir(parents=True)
    build.put(root, "full/a.png", b"1")
    assert of(root).empty_folders == 1


def test_an_inbox_that_is_not_there_has_no_answer(root: Path) -> None:
    (root / "inbox").rmdir()
    assert backlog(*build.folders_of(root)) is None


def test_a_listing_that_takes_too_long_is_ended_and_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(600):  # more than are asked of at once
        build.put(root, f"{number}.png", b"1")
    folders, settings = build.folders_of(root)
    asked_of: list[int] = []

    def slow(files: Mapping[bytes, Identity]) -> set[bytes]:
        asked_of.append(len(files))
        return set()

    # A clock on which asking takes three seconds, and all else none.
    clock = SimpleNamespace(time=time.time, monotonic=lambda: 3.0 * len(asked_of))
    monkeypatch.setattr("gdwatch.intake.backlog.time", clock)
    found = backlog(folders, settings, originals=slow, patience_s=2.0)
    assert found is not None
    assert (found.files, found.is_complete) == (asked_of[0], False)
    assert len(asked_of) == 1
    found = backlog(folders, settings, originals=slow)
    assert found is not None
    assert (found.files, found.is_complete) == (600, True)
