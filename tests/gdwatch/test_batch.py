from hypothesis import given
from hypothesis import strategies as st

from gdwatch.pipeline.batching import next_batch
from gdwatch.service.filer import FILES_TOGETHER, TOGETHER, recorded_together

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


SIZES = st.lists(st.integers(1, 600), min_size=1, max_size=9)


@given(SIZES)
def test_batches_are_recorded_together_as_far_as_their_files_are_few(sizes: list[int]) -> None:
    count = recorded_together(sizes, one_by_one=False)
    assert 1 <= count <= TOGETHER
    assert count == 1 or sum(sizes[:count]) <= FILES_TOGETHER
    # And not fewer than that.
    is_all = count in (TOGETHER, len(sizes))
    assert is_all or sum(sizes[: count + 1]) > FILES_TOGETHER


@given(SIZES)
def test_where_it_takes_long_they_are_recorded_one_by_one(sizes: list[int]) -> None:
    assert recorded_together(sizes, one_by_one=True) == 1


def test_where_nothing_waits_nothing_is_recorded() -> None:
    assert recorded_together([], one_by_one=False) == 0
