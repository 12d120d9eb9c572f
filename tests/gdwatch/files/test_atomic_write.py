import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from gdwatch.files import durability
from gdwatch.files.atomic_write import replacing, replacing_durably

Replacing = Callable[[Path], AbstractContextManager[Path]]
both = pytest.mark.parametrize("how", [replacing, replacing_durably])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "a.json"


@both
def test_the_old_content_stands_until_the_new_is_whole(path: Path, how: Replacing) -> None:
    path.write_text("old")
    with how(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.json"]


@both
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_the_old_content_stands_and_nothing_is_left(
    path: Path, how: Replacing, error: type[BaseException]
) -> None:
    def write_and_fail() -> None:
        with how(path) as aside:
            aside.write_text("ne")
            raise error

    path.write_text("old")
    with pytest.raises(error):
        write_and_fail()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["a.json"]


@both
def test_what_a_kill_has_left_is_no_obstacle(path: Path, how: Replacing) -> None:
    path.with_name("a.json.part").write_text("half")
    with how(path) as aside:
        assert not aside.exists()
        aside.write_text("new")
    assert os.listdir(path.parent) == ["a.json"]


def synced_by(how: Replacing, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is made durable while a file is replaced, in order."""
    found: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(durability.os, "fsync", noted)
        with how(path) as aside:
            aside.write_text("new")
    return found


def test_a_durable_file_is_synced_before_it_has_its_name_and_its_folder_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert synced_by(replacing_durably, path, monkeypatch) == ["a.json.part", "folder"]


def test_a_file_that_is_written_often_is_not_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert synced_by(replacing, path, monkeypatch) == []


def test_a_file_that_cannot_be_made_durable_does_not_get_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path.write_text("old")
    with monkeypatch.context() as patched:
        patched.setattr(durability.os, "fsync", failing)
        with pytest.raises(GdwatchError, match="durable"), replacing_durably(path) as aside:
            aside.write_text("new")
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["a.json"]
