import pytest
import torch
from torch import Tensor

from gdwatch.inference.device import ready
from gdwatch.networks.folding import fold
from gdwatch.networks.layers import Convolution
from gdwatch.networks.quantised import is_fast, ranged
from gdwatch.networks.surroundings import SurroundingsNetwork
from gdwatch.networks.two_inputs import FACE, TwoInputClassifier

CPU = torch.device("cpu")
SURROUNDINGS = {"stem": 8, "stages": [(1, 8, 1, 1), (2, 12, 2, 2)], "head": 16}


def network(alone_from: float | None = None, **numbers: Tensor) -> TwoInputClassifier:
    torch.manual_seed(0)
    made = TwoInputClassifier(
        alone_from=alone_from,
        face={"widths": [8, 16], "blocks": [1, 1], "nobody": True},
        surroundings={**SURROUNDINGS, "folded": True},
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
    ).eval()
    with torch.no_grad():
        for name, values in numbers.items():
            getattr(made, name).copy_(values)
    return made


def fused(made: TwoInputClassifier, face: list[float], around: list[float], size: float) -> Tensor:
    with torch.inference_mode():
        return made.fused(torch.tensor([face]), torch.tensor([around]), torch.tensor([size]))[0]


def test_the_larger_a_face_the_less_its_surroundings_count() -> None:
    made = network(male=torch.tensor([1.0, 0.4, 1.0, -0.4, 1.0]))
    small, large = (fused(made, [2.0, -5.0], [-2.0, -5.0], size)[0] for size in (16.0, 128.0))
    assert small < 0 < large


def test_without_a_face_the_surroundings_speak_alone() -> None:
    made = network(male=torch.tensor([1.0, 0.4, 1.0, -0.4, 0.5]))
    assert fused(made, [9.0, 9.0], [-2.0, -3.0], 0.0).tolist() == [-1.0, -3.0]


def test_nobody_is_told_by_both() -> None:
    made = network(nobody=torch.tensor([0.5, 2.0, 1.0]))
    assert fused(made, [0.0, 4.0], [0.0, -3.0], 40.0)[1] == pytest.approx(2.0 - 6.0 + 1.0)


def test_from_a_size_on_a_face_is_judged_by_itself() -> None:
    made = network(80.0, alone=torch.tensor([2.0, 0.5, 1.0]))
    assert made.looks_around(torch.tensor([0.0, 79.9, 80.0])).tolist() == [True, True, False]
    for around in ([-9.0, 9.0], [0.0, 0.0]):
        assert fused(made, [1.5, 3.0], around, 80.0).tolist() == [3.0, 2.5]
    near = fused(made, [1.5, 3.0], [-9.0, 9.0], 79.9), fused(made, [1.5, 3.0], [0.0, 0.0], 79.9)
    assert near[0][1] == near[1][1] == 3.0  # by the face alone, as an untrained network has it
    assert network().looks_around(torch.tensor([0.0, 4000.0])).all()


def test_only_the_network_of_the_face_is_quantised() -> None:
    made = network()
    names = ranged(made)
    assert names
    assert all(name.startswith(FACE) for name in names)
    if not is_fast():
        pytest.skip("this processor does not compute in bytes")
    quantised = ready(made, dict.fromkeys(names, 4.0), torch.uint8, CPU)
    assert any(isinstance(each, Convolution) for each in quantised.face.modules())
    photos = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    around = torch.randint(0, 256, (3, 3, 128, 80), dtype=torch.uint8)
    with torch.inference_mode():
        assert quantised(photos).shape == (3, 2)
        torch.testing.assert_close(
            quantised.around(around), made.around(around), rtol=1e-3, atol=1e-3
        )


def test_the_surroundings_folded_say_the_same() -> None:
    torch.manual_seed(0)
    made = SurroundingsNetwork(**SURROUNDINGS)
    for _ in range(3):
        made(torch.randn(4, 3, 64, 40))
    seen = torch.randn(2, 3, 64, 40)
    with torch.inference_mode():
        before = made.eval()(seen)
        fold(made)
        torch.testing.assert_close(made(seen), before, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(each, torch.nn.BatchNorm2d) for each in made.modules())
