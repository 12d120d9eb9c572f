import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdwatch.jobs.drift import compare
from gdwatch.ledger.windows import Window, Windows


def window(confidences: list[float], **others: object) -> Window:
    at, counts = np.unique(np.round(confidences, 3), return_counts=True)
    counted = tuple(zip(at.tolist(), counts.tolist(), strict=True))
    number = len(confidences)
    found = {"unsure": number // 10, "faces": (number // 20, number - number // 20, 0, 0),
             "verdicts": 0, "against": 0, "models": ("fast 1",)}  # fmt: skip
    return Window(photographs=number, confidences=counted, **(found | others))  # type: ignore[arg-type]


def drawn(seed: int, number: int, low: float) -> list[float]:
    return np.random.default_rng(seed).uniform(low, 1, number).tolist()


def differing(before: Window, lately: Window) -> list[str]:
    return [each.name for each in compare(Windows(before, lately)) if each.matters]


def test_weeks_that_are_alike_do_not_differ() -> None:
    assert differing(window(drawn(1, 4000, 0.8)), window(drawn(2, 1000, 0.8))) == []


def test_each_thing_that_differs_is_named() -> None:
    before = window(drawn(1, 4000, 0.8), verdicts=1000, against=50)
    assert differing(before, window(drawn(2, 1000, 0.7))) == ["confidence"]
    alike = drawn(2, 1000, 0.8)
    assert differing(before, window(alike, unsure=250)) == ["unsure"]
    assert differing(before, window(alike, faces=(50, 700, 150, 100))) == ["faces"]
    assert differing(before, window(alike, verdicts=200, against=40)) == ["against"]


def test_what_is_sure_but_small_does_not_count() -> None:
    before, lately = window(drawn(1, 400_000, 0.8)), window(drawn(2, 100_000, 0.79))
    confidence = compare(Windows(before, lately))[0]
    assert confidence.p_value is not None
    assert confidence.p_value < 1e-9
    assert not confidence.matters


def test_of_too_few_nothing_is_said() -> None:
    few = window(drawn(1, 99, 0.5), verdicts=99, against=90)
    for each in compare(Windows(window(drawn(1, 4000, 0.9), verdicts=900, against=9), few)):
        assert (each.test, each.effect, each.p_value) == (None, None, None)


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(0, 400)] * 4), st.tuples(*[st.integers(0, 400)] * 4))
def test_any_counts_of_faces_can_be_compared(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    confidences = drawn(1, 200, 0.8)
    windows = Windows(window(confidences, faces=one), window(confidences, faces=other))
    faces = compare(windows)[2]
    assert faces.effect is None or 0 <= faces.effect <= 1
    assert faces.effect is None or min(sum(one), sum(other)) >= 100


@pytest.mark.parametrize("number", [0, 1])
def test_an_empty_span_is_no_error(number: int) -> None:
    empty = Window(0, 0, (), (0, 0, 0, 0), 0, 0, ())
    spans = [empty, window(drawn(1, 200, 0.8))]
    told = compare(Windows(spans[number], spans[1 - number]))
    assert [each.matters for each in told] == [False] * 4
