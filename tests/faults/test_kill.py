"""kill -9 at every step of a batch, and at any time (T1, T2)."""

from itertools import product

import pytest

from tests.faults.case import Case
from tests.faults.launch import Fault

_POINTS = (
    "C0.root", "C0.schema", "C0.ledger", "C0.recover", "C1.list", "C3.open", "C4.give",
    "C4.decoded", "C4.sync", "C5.judge", "C5.decide", "C5.choose", "C6.record", "C6.insert",
    "C6.send", "C6.commit", "C7.move", "C7.rename", "C8.sync", "C8.fsync", "C9.mark", "C9.filed",
)  # fmt: skip
_PER_BATCH = ("C4.sync", "C5.judge", "C5.choose", "C6", "C8", "C9")
_ONLY_ONCE = ("C0.root", "C0.schema", "C0.ledger")
SWEEP = [
    (at, when, nth, batch)
    for at, when, nth, batch in product(_POINTS, ("before", "after"), (1, 5, 17), (1, 3, 16))
    if nth == 1 or at not in _ONLY_ONCE
]


@pytest.mark.scenario("T1", quick=27, long=2000)
def test_a_kill_at_any_step_loses_nothing(rounds: list[Case]) -> None:
    for case in rounds:
        at, when, nth, batch = case.pick(SWEEP)
        case.settings["batch_size"] = batch
        per_batch = at.startswith(_PER_BATCH)
        case.drop_mixture(nth * batch + 6 if per_batch else 24)
        killed = case.run("run", "--once", faults=[Fault(at, when, nth)], allowed=(-9,))
        assert killed.hits, f"{at} was not reached {nth} times in batches of {batch}"
        case.look_after_fault()
        case.finish()
