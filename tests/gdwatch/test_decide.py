import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch import decide
from gdwatch.values import Box, Refusal, Scores

PROBABILITY = st.floats(0, 1)
THRESHOLD = st.floats(0.5, 1)


@given(PROBABILITY, THRESHOLD)
def test_the_label_is_the_likelier_class_and_the_confidence_its_probability(
    p_male: float, min_confidence: float
) -> None:
    decision = decide.decide(Scores(p_male), min_confidence)
    assert decision.label == ("male" if p_male >= 0.5 else "female")
    assert decision.confidence == max(p_male, 1 - p_male)
    assert decision.p_male == p_male


@given(PROBABILITY, THRESHOLD)
def test_the_outcome_is_the_label_or_unsure_with_its_reason(
    p_male: float, min_confidence: float
) -> None:
    decision = decide.decide(Scores(p_male), min_confidence)
    if decision.confidence is not None and decision.confidence >= min_confidence:
        assert (decision.outcome, decision.reason) == (decision.label, None)
    else:
        assert (decision.outcome, decision.reason) == ("unsure", "low_confidence")


@given(PROBABILITY, THRESHOLD, THRESHOLD)
def test_a_stricter_threshold_never_makes_an_answer_sure(
    p_male: float, one: float, other: float
) -> None:
    lax, strict = sorted((one, other))
    if decide.decide(Scores(p_male), strict).outcome != "unsure":
        assert decide.decide(Scores(p_male), lax).outcome != "unsure"


@given(PROBABILITY.filter(lambda p: p != 0.5 and 1 - p != 0.5))
def test_the_two_classes_are_treated_alike(p_male: float) -> None:
    one, other = decide.decide(Scores(p_male), 0.8), decide.decide(Scores(1 - p_male), 0.8)
    assert {one.label, other.label} == {"female", "male"}
    assert math.isclose(one.confidence or 0, other.confidence or 0)


def test_exactly_the_threshold_is_enough() -> None:
    assert decide.decide(Scores(0.75), 0.75).outcome == "male"
    assert decide.decide(Scores(0.25), 0.75).outcome == "female"
    assert decide.decide(Scores(0.5), 0.5).outcome == "male"


def test_what_was_located_stands_in_the_decision() -> None:
    box = Box(1, 2, 3, 4)
    decision = decide.decide(Scores(0.9, 2, box), 0.8)
    assert (decision.faces, decision.box) == (2, box)


def test_a_refusal_is_rejected_with_its_reason_and_no_label() -> None:
    decision = decide.refuse(Refusal("truncated", "cut"))
    assert (decision.outcome, decision.reason) == ("rejected", "truncated")
    assert (decision.label, decision.p_male, decision.confidence) == (None, None, None)


@pytest.mark.parametrize(("value", "text"), [(0.9, "0.9"), (0.875, "0.875"), (1.0, "1")])
def test_the_rules_are_one_text(value: float, text: str) -> None:
    rules = decide.rules("whole", "dominant", value)
    assert rules == f"crop=whole several_faces=dominant min_confidence={text}"
