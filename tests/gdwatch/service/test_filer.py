from hypothesis import given
from hypothesis import strategies as st

from gdwatch.service.filer import (
    FILES_TOGETHER,
    TOGETHER,
    recorded_together,
)

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
