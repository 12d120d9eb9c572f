import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gdwatch.errors import HeldError
from gdwatch.root import lock
from tests.build import wait_until

HOLDER = """
import sys, pathlib
from gdwatch.root import lock
with lock.hold(pathlib.Path(sys.argv[1]), briefly="briefly" in sys.argv):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path, request: pytest.FixtureRequest) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), getattr(request, "param", "")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_holder_is_refused_and_told_who_has_it(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    for _ in range(2):
        with (
            pytest.raises(HeldError, match=rf"holds this root \(process {holder.pid}\)") as caught,
            lock.hold(tmp_path),
        ):
            pytest.fail("it was held twice")
    assert caught.value.status == 75


def test_one_may_ask_without_taking_it(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    assert lock.is_held(tmp_path)
    holder.communicate(b"")
    assert not lock.is_held(tmp_path)
    with lock.hold(tmp_path):
        assert not lock.is_held(tmp_path / "elsewhere")
    assert not lock.is_held(tmp_path)


@pytest.mark.parametrize("holder", ["briefly"], indirect=True)
def test_a_service_waits_for_a_command_that_only_moves_its_wishes(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(HeldError), lock.hold(tmp_path, briefly=True):
        pytest.fail("it was held twice")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(take_and_leave, tmp_path)
        holder.communicate(b"")
        assert waiting.result(timeout=60) == "held"


def take_and_leave(state: Path) -> str:
    with lock.hold(state):
        return "held"


def test_a_killed_holder_leaves_it_free(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock.hold(tmp_path):
        pass


def test_a_child_does_not_inherit_it(tmp_path: Path) -> None:
    with lock.hold(tmp_path):
        child = subprocess.Popen(["sleep", "60"])
    try:
        wait_until(lambda: not lock.is_held(tmp_path))
    finally:
        child.kill()
        child.wait()


def test_what_asks_leaves_no_trace(tmp_path: Path) -> None:
    assert not lock.is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_do_not_work_on_one_folder(tmp_path: Path) -> None:
    with (
        lock.hold_folder(tmp_path),
        pytest.raises(HeldError, match="another reprocess"),
        lock.hold_folder(tmp_path),
    ):
        pytest.fail("it was held twice")
    with lock.hold_folder(tmp_path):
        pass
