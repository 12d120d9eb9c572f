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
