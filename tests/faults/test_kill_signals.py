"""SIGTERM and SIGINT at every step, once and twice (T3)."""

import signal
from collections.abc import Iterator
from itertools import product

import pytest

from tests.faults.case import Case, enough
from tests.faults.launch import Fault

_POINTS = (
    "C0.root", "C0.ledger", "C0.recover", "C1.list", "C3.open", "C4.give", "C4.decoded", "C4.sync",
    "C5.judge", "C5.decide", "C6.record", "C6.commit", "C7.move", "C8.sync", "C9.mark", "C9.filed",
)  # fmt: skip
_SIGNALS = (("SIGTERM",), ("SIGINT",), ("SIGTERM", "SIGTERM"), ("SIGINT", "SIGINT"))
SWEEP = [
    (at, when, signals, nth)
    for at, when, signals, nth in product(_POINTS, ("before", "after"), _SIGNALS, (1, 5))
    if nth == 1 or not at.startswith("C0")
]
_STOP_S = 30.0


@pytest.mark.scenario("T3", quick=16, long=160)
def test_a_signal_at_any_step_ends_it_with_nothing_half_done(rounds: Iterator[Case]) -> None:
    for case in rounds:
        at, when, signals, nth = case.pick(SWEEP)
        case.settings["batch_size"] = 3
        case.drop_mixture(enough(nth, 3))
        # Before the service heeds signals they end it as they end any program; the second
        # SIGINT does so at any time.
        number = getattr(signal, signals[0])
        is_abrupt = at == "C0.root" or signals == ("SIGINT", "SIGINT")
        allowed = (0, -number, 128 + number) if is_abrupt else (0,)
        run = case.start("run", faults=[Fault(at, when, nth, do=signals)], allowed=allowed)
        run.wait()
        assert run.hits, f"{at} was not reached {nth} times"
        case.count.faults += 1
        case.look_after_fault()
        if run.status == 0:
            half_done = [row for row in case.rows() if row["state"] == "recorded"]
            assert not half_done, run.text()
        case.finish()


@pytest.mark.scenario("T3", quick=2, long=40)
def test_a_stopped_service_ends_in_time_and_its_files_are_filed_or_untouched(
    rounds: Iterator[Case],
) -> None:
    for case in rounds:
        case.settings["batch_size"] = case.dice.choice((1, 3, 16))
        case.drop_mixture(30)
        run = case.start("run")
        while not run.events("service.started"):
            assert not run.ends_within(0.02), run.text()
        run.ends_within(case.dice.uniform(0, 1))
        run.send(case.dice.choice((signal.SIGTERM, signal.SIGINT)))
        assert run.wait(_STOP_S) == 0
        case.count.faults += 1
        case.look_after_fault()
        assert all(row["state"] == "filed" for row in case.rows())
        case.finish()
