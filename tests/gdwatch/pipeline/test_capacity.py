from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.decode.reduce import Reduction
from gdwatch.inference import model_file
from gdwatch.inference.model_file import layout
from gdwatch.pipeline import worker_pool
from gdwatch.pipeline.capacity import Capacity
from tests import build

SMALL = Reduction(32, whole=True)


def capacity(reduction: Reduction = SMALL, **settings: object) -> Capacity:
    return Capacity.of(build.make_settings(Path("root"), device="cpu", **settings), reduction)


@pytest.mark.parametrize(("workers", "count"), [(1, 1), (2, 2), (4, 3), (8, 6), (16, 6)])
def test_most_cores_judge(workers: int, count: int) -> None:
    assert capacity(workers=workers).engines == count


def test_on_a_card_one_process_judges() -> None:
    settings = build.make_settings(Path("root"), device="cuda", workers=16)
    assert Capacity.of(settings, SMALL).engines == 1


def test_small_photographs_are_judged_in_batches_as_large_as_the_settings_say() -> None:
    found = capacity(workers=16, batch_size=32)
    assert found.batch_size == found.wanted_batch_size == 32
    assert found.worker_depth == worker_pool.DEPTH


@pytest.mark.parametrize("name", ["fast", "accurate"])
def test_where_many_large_photographs_do_not_fit_batches_are_smaller_and_it_says_so(
    name: str,
) -> None:
    details = model_file.read(model_file.find(name)).details
    found = capacity(layout([details], "face"), workers=16, batch_size=32)
    assert found.wanted_batch_size == 32
    assert found.batch_size < 32


@given(st.integers(1, 64), st.integers(1, 512), st.integers(16, 4000))
def test_every_worker_and_a_batch_have_slots_and_the_others_fit_into_the_memory_for_them(
    workers: int, batch_size: int, side: int
) -> None:
    reduction = Reduction(side, whole=False)
    found = capacity(reduction, workers=workers, batch_size=batch_size)
    assert 1 <= found.batch_size <= found.wanted_batch_size == batch_size
    assert 2 <= found.worker_depth <= worker_pool.DEPTH
    least = 2 * workers + batch_size
    assert least <= found.slots <= max(least, (1 << 30) // reduction.most_bytes)
