import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gdwatch.intake.answer_watch import AnswerWatch
from gdwatch.values import OUTCOMES
from tests.build import wait_until


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[AnswerWatch]:
    folders = {outcome: os.fsencode(tmp_path / outcome) for outcome in OUTCOMES}
    for folder in folders.values():
        os.mkdir(folder)
    with closing(AnswerWatch(folders, lambda: None)) as made:
        made.start()
        yield made


def leave(path: Path) -> bytes:
    """Let a file leave a folder: what was noted before is noted by then."""
    path.write_bytes(b"1")
    path.rename(path.parents[1] / path.name)
    return os.fsencode(path)


def test_what_is_moved_away_is_noted(watch: AnswerWatch, tmp_path: Path) -> None:
    left = leave(tmp_path / "male" / "a.jpg")
    wait_until(lambda: left in watch.departures)
    assert list(watch.departures) == [left]


def test_what_is_written_to_in_rejected_is_noted(watch: AnswerWatch, tmp_path: Path) -> None:
    (tmp_path / "half.jpg").write_bytes(b"1")
    with (tmp_path / "half.jpg").open("ab") as writer:
        path = (tmp_path / "half.jpg").rename(tmp_path / "rejected" / "half.jpg")
        writer.write(b"2")
        writer.flush()
        path.read_bytes()
        left = leave(tmp_path / "rejected" / "b.jpg")
        wait_until(lambda: left in watch.departures)
        assert os.fsencode(path) not in watch.written
    wait_until(lambda: os.fsencode(path) in watch.written)


def test_what_is_written_to_elsewhere_is_not(watch: AnswerWatch, tmp_path: Path) -> None:
    left = leave(tmp_path / "male" / "a.jpg")
    wait_until(lambda: left in watch.departures)
    assert not watch.written
