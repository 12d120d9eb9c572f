import contextlib
import itertools
import socket
import time
from pathlib import Path

import pytest

from gdwatch.errors import Trouble
from gdwatch.service.pause import PauseState
from gdwatch.service.signals import Signals


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, as the first of the list; it passes only where somebody sleeps."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    return now


@pytest.fixture
def state(tmp_path: Path, clock: list[float]) -> PauseState:
    return PauseState(tmp_path, Signals(), once=False)


def test_a_pause_waits_twice_as_long_each_time_and_half_a_minute_at_most(
    state: PauseState, clock: list[float]
) -> None:
    waits = []
    for _ in range(7):
        began = clock[0]
        state.pause(Trouble("inbox_missing", "not mounted"))
        waits.append(round(clock[0] - began, 3))
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    state.resume()
    began = clock[0]
    state.pause(Trouble("inbox_missing", "not mounted"))
    assert round(clock[0] - began, 3) == 1


def test_systemd_is_asked_for_more_time_every_few_seconds_not_at_every_move(
    state: PauseState, clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        heard = []
        for _ in range(60 * 100):  # a minute of moves, each of 10 ms
            state.say_alive()
            clock[0] += 0.01
            with contextlib.suppress(BlockingIOError):
                heard.append((clock[0], channel.recv(100)))
    assert {message for _, message in heard} == {b"EXTEND_TIMEOUT_USEC=60000000"}
    times = [0.0, *(moment for moment, _ in heard), clock[0]]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(pauses) < 15
    assert len(heard) <= 20
