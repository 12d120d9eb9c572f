"""TODO."""

from hypothesis import given
from hypothesis import strategies as st

from gdwatch.pipeline.batching import next_batch

ARRIVALS = st.lists(st.floats(0, 100), max_size=50).map(sorted)


@given(ARRIVALS, st.floats(0, 200), st.integers(1, 20), st.floats(0, 10))
def test_a_batch_is_never_larger_than_allowed_nor_than_what_waits(
    arrivals_s: list[float], now_s: float, size: int, wait_s: float
) -> None:
    assert 0 <= next_batch(arrivals_s, now_s, size, wait_s) <= min(size, len(arrivals_s))


@given(ARRIVALS.filter(len), st.integers(1, 20), st.floats(0, 10), st.floats(0, 10))
def test_no_photograph_waits_longer_than_it_may(
    arrivals_s: list[float], size: int, wait_s: float, more_s: float
) -> None:
    now_s = max(arrivals_s[-1], arrivals_s[0] + wait_s) + more_s
    if now_s - arrivals_s[0] >= wait_s:
        assert next_batch(arrivals_s, now_s, size, wait_s) > 0


def test_a_full_batch_does_not_wait() -> None:
    assert next_batch([0.0] * 5, 0.0, 4, 60) == 4


def test_a_batch_that_is_not_full_waits_for_company() -> None:
    assert next_batch([0.0] * 3, 0.9, 4, 1) == 0
    assert next_batch([0.0] * 3, 1.0, 4, 1) == 3


def test_nothing_is_no_batch() -> None:
    assert next_batch([], 9e9, 4, 0) == 0
