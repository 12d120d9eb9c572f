import pytest
import torch
from torch import Tensor

from gdwatch.inference.halving import in_halves


def forward_with_room_for(rows: int, calls: list[int]):
    def forward(batch: Tensor) -> Tensor:
        calls.append(len(batch))
        if len(batch) > rows:
            raise torch.OutOfMemoryError
        return batch * 2

    return forward


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("count", [1, 2, 5, 16, 17])
def test_a_batch_in_halves_gives_what_the_whole_gives(rows: int, count: int) -> None:
    calls: list[int] = []
    batch = torch.arange(count)
    found, splits = in_halves(forward_with_room_for(rows, calls), batch)
    assert found.tolist() == (batch * 2).tolist()
    assert splits == sum(size > rows for size in calls)
    assert (splits == 0) == (count <= rows)


def test_one_photograph_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        in_halves(forward_with_room_for(0, []), torch.arange(4))


def test_the_memory_of_a_failed_batch_is_free_before_its_halves_run() -> None:
    alive: list[int] = []
    held: list[object] = []

    class Held:
        def __init__(self) -> None:
            alive.append(1)

        def __del__(self) -> None:
            alive.pop()

    def forward(batch: Tensor) -> Tensor:
        held.append(len(alive))
        mine = Held()  # a tensor that the traceback of the error would keep
        if len(batch) > 1:
            raise torch.OutOfMemoryError
        del mine
        return batch

    in_halves(forward, torch.arange(4))
    assert held == [0] * 7
