import io
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gdwatch.decode import reduce
from gdwatch.errors import ActionNeeded
from gdwatch.inference import model, model_file
from gdwatch.inference.device import choose_device
from gdwatch.inference.faces import Detection, Judgement
from gdwatch.inference.model import Model
from gdwatch.inference.predictor import PlainPredictor
from gdwatch.networks.classifier import Classifier
from gdwatch.networks.quantised import is_fast
from gdwatch.networks.registry import ARCHITECTURES
from gdwatch.networks.two_inputs import TwoInputClassifier
from gdwatch.values import Box, Scores
from tests import build

CPU = torch.device("cpu")


ARGUMENTS: dict[str, dict[str, object]] = {
    "residual": {"stem": 4, "widths": [8], "blocks": [1]},
    "ensemble": {"members": 2, "stem": 4, "widths": [8], "blocks": [1], "folded": True},
    "pooled": {"widths": [8, 16], "blocks": [1, 1]},
    "seed": {"input": build.SIDE, "stages": [[4]], "grey": True},
}


def photos(count: int = 24) -> np.ndarray:
    levels = [30, 60, 100, 127, 150, 190, 230]
    side = (build.SIDE, build.SIDE)
    return np.stack([build.pixels(n, levels[n % len(levels)], side) for n in range(count)])


def predictor(seed: int = 0, **others: object) -> PlainPredictor:
    return engine_of(build.network(seed), temperature=1.3, borders=(0.5, 0.9, 0.1), **others)


def engine_of(
    network: Classifier,
    temperature: float = 1.0,
    borders: Sequence[float] = (0.5,),
    **others: object,
) -> PlainPredictor:
    details = build.details(temperature=temperature)
    return PlainPredictor(Model(None, network, details, ""), CPU, borders=borders, **others)


def labels(p_male: list[float]) -> list[bool]:
    return [p >= 0.5 for p in p_male]


def p_males(judged: Sequence[Judgement]) -> list[float]:
    return [each.p_male for each in judged]


def test_an_engine_without_memory_gives_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, splits = predictor().classify(photos())
    assert splits == 0
    small = predictor()
    real = small.classifier.forward

    def forward(batch: Tensor) -> Tensor:
        if len(batch) > 5:
            raise torch.OutOfMemoryError
        return real(batch)

    monkeypatch.setattr(small.classifier, "forward", forward)
    halved, splits = small.classify(photos())
    assert splits > 0
    assert p_males(halved) == pytest.approx(p_males(whole), abs=1e-4)


@pytest.mark.parametrize("size", [1, 3, 8, 24])
def test_an_answer_does_not_depend_on_its_company(size: int) -> None:
    batch = photos()
    classify = predictor(3).classify
    whole = p_males(classify(batch)[0])
    order = np.random.default_rng(1).permutation(len(batch))
    found = [0.0] * len(batch)
    for at in range(0, len(batch), size):
        numbers = order[at : at + size]
        for number, each in zip(numbers, classify(batch[numbers])[0], strict=True):
            found[number] = each.p_male
    assert found == pytest.approx(whole, abs=1e-4)
    assert labels(found) == labels(whole)


def two_inputs() -> PlainPredictor:
    """Sees the surroundings of faces below 40 pixels."""
    torch.manual_seed(0)
    network = TwoInputClassifier(
        face={"widths": [8, 16], "blocks": [1, 1], "nobody": True},
        surroundings={"stem": 8, "stages": [(1, 8, 1, 1)], "head": 16, "folded": True},
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        alone_from=40.0,
    ).eval()
    with torch.no_grad():
        network.male.copy_(torch.tensor([1.0, 0.0, 5.0, 0.0, 5.0]))
        network.nobody.copy_(torch.tensor([0.0, 0.0, -5.0]))
        network.alone.copy_(torch.tensor([1.0, 0.0, -5.0]))
    return engine_of(network)


def people() -> tuple[list[np.ndarray], list[list[Detection]]]:
    """Photographs with a small face, a large one, none, and both."""
    small, large = Detection(Box(30, 20, 20, 24), 0.9), Detection(Box(60, 60, 50, 60), 0.9)
    found = [[small], [large], [], [large, small]]
    return [build.pixels(n, 100 + 10 * n, (200, 200)) for n in range(4)], found


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 2, 0], [2], [1], [1, 0]])
def test_with_two_inputs_an_answer_does_not_depend_on_its_company(order: list[int]) -> None:
    pictures, found = people()
    judge = two_inputs().judge_faces
    apart = [
        judge([picture], [faces])[0][0] for picture, faces in zip(pictures, found, strict=True)
    ]
    together, _ = judge([pictures[n] for n in order], [found[n] for n in order])
    for at, n in enumerate(order):
        assert together[at].p_male == pytest.approx(apart[n].p_male, abs=1e-5)
        of_faces = [each.p_male for each in together[at].faces]
        assert of_faces == pytest.approx([each.p_male for each in apart[n].faces], abs=1e-5)


def test_what_surrounds_a_face_counts_only_for_a_small_one() -> None:
    pictures, found = people()
    repainted = []
    for picture, faces in zip(pictures, found, strict=True):
        other = np.full_like(picture, 255)
        for each in faces:
            x, y, width, height = (round(number) for number in astuple(each.box))
            seen = (
                slice(max(0, y - height), y + 2 * height),
                slice(max(0, x - width), x + 2 * width),
            )
            other[seen] = picture[seen]
        repainted.append(other)
    judge = two_inputs().judge_faces
    before, after = judge(pictures, found)[0], judge(repainted, found)[0]
    same = [
        [abs(one.p_male - two.p_male) < 1e-6 for one, two in zip(a.faces, b.faces, strict=True)]
        for a, b in zip(before, after, strict=True)
    ]
    assert same == [[False], [True], [], [True, False]]


@pytest.mark.parametrize("seed", range(5))
def test_half_precision_gives_the_same_labels(seed: int) -> None:
    exact = p_males(predictor(seed, precision=torch.float32).classify(photos())[0])
    half = p_males(predictor(seed, precision=torch.float16).classify(photos())[0])
    assert labels(half) == labels(exact)
    for border in (0.9, 0.1):
        assert [p >= border for p in half] == [p >= border for p in exact]


def test_what_lies_near_a_border_is_judged_in_full() -> None:
    network = build.brightness_network(slope=0.1)  # so flat that everything lies near 0.5
    exact = p_males(engine_of(network, precision=torch.float32).classify(photos())[0])
    half = p_males(engine_of(network, precision=torch.float16).classify(photos())[0])
    assert half == exact


@pytest.mark.parametrize("kind", ARGUMENTS)
@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_every_architecture_judges_in_half_precision(kind: str, precision: torch.dtype) -> None:
    torch.manual_seed(0)
    network = ARCHITECTURES[kind](mean=(0.5,) * 3, std=(0.25,) * 3, **ARGUMENTS[kind]).eval()
    exact = p_males(engine_of(network, precision=torch.float32).classify(photos())[0])
    half = p_males(engine_of(network, precision=precision).classify(photos())[0])
    assert half == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize(
    ("precision", "apart"),
    [
        (torch.bfloat16, 0.02),
        pytest.param(torch.uint8, 0.04, marks=pytest.mark.skipif(not is_fast(), reason="no AVX2")),
    ],
)
def test_faces_located_in_less_precision_are_the_same_ones(
    precision: torch.dtype, apart: float
) -> None:
    photographs = real_photographs()
    exact, half = (judged(shipped_in(each), photographs) for each in (torch.float32, precision))
    for found, other in zip(half, exact, strict=True):
        assert found.count == other.count
        for face, same in zip(found.faces, other.faces, strict=True):
            assert astuple(face.box) == pytest.approx(astuple(same.box), rel=apart, abs=100 * apart)


@pytest.mark.parametrize(
    ("precision", "apart"),
    [
        (torch.bfloat16, 0.02),
        pytest.param(torch.uint8, 0.1, marks=pytest.mark.skipif(not is_fast(), reason="no AVX2")),
    ],
)
def test_a_face_judged_in_less_precision_is_judged_alike(
    precision: torch.dtype, apart: float
) -> None:
    squares = np.stack([np.array(each.resize((64, 64))) for each in real_photographs()])
    exact = p_males(shipped_in(torch.float32).classify(squares)[0])
    found = p_males(shipped_in(precision).classify(squares)[0])
    assert found != exact
    assert found == pytest.approx(exact, abs=apart)


def test_the_temperature_divides_the_logit() -> None:
    cold = p_males(engine_of(build.network(), 1.0).classify(photos(1))[0])
    warm = p_males(engine_of(build.network(), 2.0).classify(photos(1))[0])
    logit = torch.logit(torch.tensor(cold[0], dtype=torch.float64))
    assert warm[0] == pytest.approx(float(torch.sigmoid(logit / 2)), abs=1e-5)


def test_the_model_of_these_tests_sees_brightness() -> None:
    classify = engine_of(build.brightness_network(), 1).classify
    side = (build.SIDE, build.SIDE)
    shades = [build.pixels(1, level, side) for level in (build.DARK, build.GREY, build.BRIGHT)]
    dark, grey, bright = p_males(classify(np.stack(shades))[0])
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
        engine_of(network).test()


# ------------------------------------------------------------- faces, by the model in the package


@pytest.fixture(scope="module")
def shipped() -> PlainPredictor:
    return shipped_in(None)


def shipped_in(precision: torch.dtype | None) -> PlainPredictor:
    loaded = model.load(model_file.read(model_file.find("fast")))
    return PlainPredictor(loaded, CPU, borders=(0.5,), precision=precision)


def real_photographs() -> list[Image.Image]:
    """Portraits: alone, side by side, small and cropped; and a picture without a person."""
    opened = [Image.open(io.BytesIO(make())) for make in (build.astronaut, build.grace_hopper)]
    astronaut, hopper = (each.convert("RGB") for each in opened)
    both = Image.new("RGB", (astronaut.width + hopper.width, 600), "navy")
    both.paste(astronaut, (0, 20))
    both.paste(hopper, (astronaut.width, 0))
    small, nobody = hopper.resize((200, 240)), Image.new("RGB", (300, 400), "teal")
    return [astronaut, hopper, both, small, nobody, astronaut.crop((60, 0, 460, 400))]


def judged(predictor: PlainPredictor, photographs: Sequence[Image.Image]) -> list[Scores]:
    photos = [reduce.reduced(np.array(photo), 400) for photo in photographs]
    return predictor.judge(photos).scores


def test_every_face_is_found_and_judged(shipped: PlainPredictor) -> None:
    astronaut, hopper, both, _, nobody, _ = judged(shipped, real_photographs())
    assert nobody.count == 0
    assert (nobody.faces, astronaut.p_male) == ((), None)
    assert nobody.p_male is not None
    left, right = sorted(both.faces[:2], key=lambda face: face.box.x)
    # Beside each other they are found where each alone is, to four pixels of the coarser thumbnail.
    assert shipped.finder is not None
    pixel = 512 / shipped.finder.first.side
    for found, alone, scale, x, y in (
        (left, astronaut, 512 / 1024, 0, 20),
        (right, hopper, 512 / 1024, 512, 0),
    ):
        box = alone.faces[0].box
        assert found.box.x == pytest.approx((box.x + x) * scale, abs=4 * pixel)
        assert found.box.y == pytest.approx((box.y + y) * scale, abs=4 * pixel)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_faces_do_not_depend_on_their_company(shipped: PlainPredictor, size: int) -> None:
    photographs = real_photographs()
    whole = judged(shipped, photographs)
    order = [3, 0, 5, 4, 2, 1]
    for start in range(0, len(order), size):
        numbers = order[start : start + size]
        found = judged(shipped, [photographs[number] for number in numbers])
        for number, scores in zip(numbers, found, strict=True):
            expected = whole[number]
            assert scores.count == expected.count
            assert scores.p_male == pytest.approx(expected.p_male, abs=1e-4)
            for face, other in zip(scores.faces, expected.faces, strict=True):
                assert face.p_male == pytest.approx(other.p_male, abs=1e-4)
                assert astuple(face.box) == pytest.approx(astuple(other.box), abs=0.05)
