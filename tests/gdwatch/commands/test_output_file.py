"""Where `classify -o FILE` writes, by real processes."""

import os
import pty
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import build
from tests.build import BRIGHT, photograph, wait_until
from tests.faults.surroundings import skip_unless_allowed

Start = Callable[..., subprocess.Popen[bytes]]
ANSWER = b'{\n  "x.png": "male"\n}\n'
OLD = b"of the last time"


@pytest.fixture
def start(tmp_path: Path, model: Path) -> Start:
    """Begin to classify what comes on standard input."""
    (tmp_path / "x.png").write_bytes(photograph(1, BRIGHT))

    def started(
        output: Path | str, names: int = subprocess.PIPE, **settings: object
    ) -> subprocess.Popen[bytes]:
        given = build.arguments(tmp_path / "root", {"model": model, "workers": 1, **settings})
        return subprocess.Popen(
            [sys.executable, "-m", "gdwatch", "classify", "-", "--format=json", "-o", output,
             *given],
            stdin=names, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=tmp_path, env=build.environment(),
        )  # fmt: skip

    return started


def finish(command: subprocess.Popen[bytes]) -> bytes:
    """Name the photograph, and wait for the end; returns what came on standard output."""
    said, complained = command.communicate(b"x.png\n", timeout=build.DEADLINE_S)
    assert (command.returncode, complained) == (0, b"")
    return said


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The answers of an earlier run."""
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "answers.json"
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def test_a_model_that_cannot_be_used_leaves_the_file_as_it_was(start: Start, file: Path) -> None:
    command = start(file, model="nowhere")
    _, complained = command.communicate(b"x.png\n", timeout=build.DEADLINE_S)
    assert command.returncode == 78
    assert b"nowhere" in complained
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]


def test_a_run_that_is_stopped_leaves_the_file_as_it_was(
    start: Start, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "names").write_bytes(b"x.png\n" * 100_000)
    with (tmp_path / "names").open("rb") as names:
        command = start(file, names.fileno())
    wait_until(lambda: len(list(file.parent.iterdir())) > 1 or file.read_bytes() != OLD)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=build.DEADLINE_S)
    assert command.returncode == 130
    assert file.read_bytes() == OLD
    assert list(file.parent.iterdir()) == [file]


def test_the_answers_replace_the_file_and_keep_who_may_read_it(start: Start, file: Path) -> None:
    finish(start(file))
    assert file.read_bytes() == ANSWER
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_a_new_file_may_be_read_as_any_that_a_program_makes(start: Start, tmp_path: Path) -> None:
    (tmp_path / "another").touch()
    finish(start("answers.json"))
    assert (tmp_path / "answers.json").read_bytes() == ANSWER
    assert (tmp_path / "answers.json").stat().st_mode == (tmp_path / "another").stat().st_mode


def test_a_folder_that_is_not_there_is_named(start: Start, tmp_path: Path) -> None:
    command = start(tmp_path / "nowhere" / "answers.json")
    _, complained = command.communicate(b"x.png\n", timeout=build.DEADLINE_S)
    assert command.returncode == 1
    assert complained.endswith(b"No such file or directory; name another file with -o\n")


def test_standard_output_may_be_named(start: Start) -> None:
    assert finish(start("/dev/stdout")) == ANSWER
    assert Path("/dev/stdout").is_symlink()


def test_a_pipe_is_written_where_it_is(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    finish(start(tmp_path / "pipe"))
    reader.join(build.DEADLINE_S)
    assert found == [ANSWER]
    assert (tmp_path / "pipe").is_fifo()


def test_a_terminal_is_written_where_it_is(start: Start) -> None:
    ours, theirs = pty.openpty()
    finish(start(os.ttyname(theirs)))
    assert os.read(ours, 1000).replace(b"\r\n", b"\n") == ANSWER
    os.close(ours)
    os.close(theirs)


def test_a_link_stays_one(start: Start, file: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(file)
    finish(start(tmp_path / "latest"))
    assert (tmp_path / "latest").is_symlink()
    assert file.read_bytes() == ANSWER


def test_a_file_that_another_name_has_stays_one_file(start: Start, file: Path) -> None:
    other = file.with_name("other")
    other.hardlink_to(file)
    finish(start(file))
    assert other.read_bytes() == ANSWER


def test_a_file_that_is_a_mount_of_its_own_is_written_where_it_is(
    start: Start, file: Path, tmp_path: Path
) -> None:
    skip_unless_allowed("mount", "--bind", file, file)
    try:
        finish(start(file))
        assert file.read_bytes() == ANSWER
    finally:
        subprocess.run(["umount", "-l", file], check=True)
    assert list(file.parent.iterdir()) == [file]
