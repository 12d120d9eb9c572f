import numpy as np
import pytest
import torch
from torch import Tensor

from gdwatch.engine import Engine, choose_device, in_halves
from gdwatch.errors import ActionNeeded
from tests import build

CPU = torch.device("cpu")


def photos(count: int = 24) -> np.ndarray:
    levels = [30, 60, 100, 127, 150, 190, 230]
    side = (build.SIDE, build.SIDE)
    return np.stack([build.pixels(n, levels[n % len(levels)], side) for n in range(count)])


def engine(seed: int = 0, **others: object) -> Engine:
    return Engine(build.network(seed), CPU, temperature=1.3, borders=(0.5, 0.9, 0.1), **others)


def labels(p_male: list[float]) -> list[bool]:
    return [p >= 0.5 for p in p_male]


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


def test_an_engine_without_memory_gives_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, splits = engine().judge(photos())
    assert splits == 0
    small = engine()
    real = small.classifier.forward

    def forward(batch: Tensor) -> Tensor:
        if len(batch) > 5:
            raise torch.OutOfMemoryError
        return real(batch)

    monkeypatch.setattr(small.classifier, "forward", forward)
    halved, splits = small.judge(photos())
    assert splits > 0
    assert halved == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("size", [1, 3, 8, 24])
def test_an_answer_does_not_depend_on_its_company(size: int) -> None:
    batch = photos()
    judge = engine(3).judge
    whole, _ = judge(batch)
    order = np.random.default_rng(1).permutation(len(batch))
    found = [0.0] * len(batch)
    for at in range(0, len(batch), size):
        chosen = order[at : at + size]
        for number, p_male in zip(chosen, judge(batch[chosen])[0], strict=True):
            found[number] = p_male
    assert found == pytest.approx(whole, abs=1e-4)
    assert labels(found) == labels(whole)


@pytest.mark.parametrize("seed", range(5))
def test_half_precision_gives_the_same_labels(seed: int) -> None:
    exact, _ = engine(seed).judge(photos())
    half, _ = engine(seed, half=torch.bfloat16).judge(photos())
    assert labels(half) == labels(exact)
    for border in (0.9, 0.1):
        assert [p >= border for p in half] == [p >= border for p in exact]


def test_what_lies_near_a_border_is_judged_in_full() -> None:
    network = build.brightness_network(slope=0.1)  # so flat that everything lies near 0.5
    exact, _ = Engine(network, CPU, temperature=1, borders=(0.5,)).judge(photos())
    half, _ = Engine(network, CPU, temperature=1, borders=(0.5,), half=torch.bfloat16).judge(
        photos()
    )
    assert half == exact


def test_the_temperature_divides_the_logit() -> None:
    cold, _ = Engine(build.network(), CPU, temperature=1.0, borders=(0.5,)).judge(photos(1))
    warm, _ = Engine(build.network(), CPU, temperature=2.0, borders=(0.5,)).judge(photos(1))
    logit = torch.logit(torch.tensor(cold[0], dtype=torch.float64))
    assert warm[0] == pytest.approx(float(torch.sigmoid(logit / 2)), abs=1e-5)


def test_the_model_of_these_tests_sees_brightness() -> None:
    judge = Engine(build.brightness_network(), CPU, temperature=1, borders=(0.5,)).judge
    side = (build.SIDE, build.SIDE)
    shades = [build.pixels(1, level, side) for level in (build.DARK, build.GREY, build.BRIGHT)]
    dark, grey, bright = judge(np.stack(shades))[0]
    assert dark < 0.01
    assert 0.1 < grey < 0.9
    assert bright > 0.99


def test_a_device_that_is_not_there_is_an_error() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ActionNeeded, match="device cuda:99: not there"):
        choose_device("cuda:99")


def test_a_model_whose_answer_is_no_number_fails_its_self_test() -> None:
    network = build.brightness_network()
    with torch.no_grad():
        network.head.weight[0, 0] = 3e38
        network.head.weight[0, 1] = -3e38
        network.features[1][0].weight[1, 0, 1, 1] = 1e30
        network.features[1][0].weight[0, 0, 1, 1] = 1e30
    with pytest.raises(ActionNeeded, match="self-test"):
        Engine(network, CPU, temperature=1.0, borders=(0.5,)).test(build.SIDE)
