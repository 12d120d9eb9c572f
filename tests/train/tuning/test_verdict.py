import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.tuning.verdict import advice, compare, judge


def compared(both: int, only_old: int, only_new: int, neither: int = 0):  # type: ignore[no-untyped-def]
    old = np.repeat([True, True, False, False], [both, only_old, only_new, neither])
    new = np.repeat([True, False, True, False], [both, only_old, only_new, neither])
    return compare(old, new)


SAME = compared(500, 0, 0)


@pytest.mark.parametrize(
    ("own", "rehearsal", "changed", "kind"),
    [
        (compared(150, 2, 20), SAME, True, "better"),
        (compared(150, 2, 4), SAME, True, "no different"),
        (compared(150, 20, 2), SAME, True, "worse"),
        (compared(150, 2, 20), compared(500, 5, 1), True, "forgets"),
        (compared(150, 0, 0), SAME, False, "no different"),
    ],
)
def test_the_verdict_is_that_of_the_numbers(own, rehearsal, changed, kind) -> None:  # type: ignore[no-untyped-def]
    told = judge(own, rehearsal, "fast", changed=changed)
    assert told.kind == kind
    assert told.is_recommended == (kind == "better")
    assert ("Keep fast" in told.sentence) == (kind != "better")


def test_the_sentence_says_by_how_much() -> None:
    told = judge(compared(150, 2, 20, 8), SAME, "fast", changed=True).sentence
    assert told.startswith("Better than fast by 10.0 points on 180 pictures")
    assert "84.4 % right before, 94.4 % after (95 % interval +4.9 to +14.9)" in told


@given(*[st.integers(0, 200)] * 4)
def test_the_interval_has_a_width_and_holds_the_gain_nearly(
    both: int, only_old: int, only_new: int, neither: int
) -> None:
    if not both + only_old + only_new + neither:
        return
    found = compared(both, only_old, only_new, neither)
    assert found.low < found.high
    assert found.low - 1 / found.pictures <= found.gain <= found.high + 1 / found.pictures


def test_what_would_help_is_more_of_what_it_gets_wrong() -> None:
    male = np.arange(180) % 2 == 1
    right = np.ones(180, dtype=np.bool_)
    right[1:25:2] = False
    help_ = advice(compared(150, 4, 8, 18), right, male, 30)
    assert "about 250 labelled pictures would show it" in help_[0] or "about" in help_[0]
    assert "12 of its 12 mistakes are of pictures labelled male" in help_[1]
    assert "On 30 pictures no face was found" in help_[2]
    assert advice(compared(179, 0, 0, 1), right, male, 0)[0].startswith(
        "The shipped model is right"
    )
