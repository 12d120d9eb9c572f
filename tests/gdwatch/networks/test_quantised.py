import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from gdwatch.inference import model, model_file
from gdwatch.inference.detection import thumbnails
from gdwatch.inference.model_file import Network
from gdwatch.networks import quantised
from gdwatch.networks.layers import Bytes, Convolution, Normalisation
from gdwatch.networks.locator import Locator
from gdwatch.networks.pooled import PooledClassifier
from gdwatch.networks.quantised import Quantised, Rounded, is_fast, quantise, ranged
from gdwatch.networks.residual import ResidualClassifier
from gdwatch.networks.two_inputs import FACE, TwoInputClassifier
from tests import build

pytestmark = pytest.mark.skipif(not is_fast(), reason="this processor has no AVX2")

SIDE = st.integers(1, 9)
CHANNELS = st.integers(1, 40)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def values(*shape: int, seed: int = 0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    random = torch.randint(0, 256, shape, dtype=torch.uint8, generator=made)
    return random.contiguous(memory_format=torch.channels_last)


def floats(x: Bytes) -> Tensor:
    return (x.values.float() - x.zero) * x.scale


def rounded(plain: nn.Conv2d) -> nn.Conv2d:
    """Round a convolution's weights, in place, to those that 8-bit integers stand for."""
    step = plain.weight.abs().amax((1, 2, 3), keepdim=True) / 64
    plain.weight.copy_((plain.weight / step).round() * step)
    return plain


def in_steps(wanted: Tensor, scale: float) -> Tensor:
    return (wanted / scale).round().clamp(0, 255)


def assert_same_steps(found: Bytes, wanted: Tensor) -> None:
    """Equal, but for less than 1 % that are 1 apart: there, the float lies between two steps."""
    apart = (found.values.float() - in_steps(wanted, found.scale)).abs()
    assert apart.max() <= 1
    assert (apart > 0).float().mean() < 0.01


@given(st.integers(1, 4), CHANNELS, CHANNELS, SIDE, SIDE, st.sampled_from([1, 2]))
@settings(deadline=None)
def test_a_convolution_in_bytes_is_that_of_the_floats_they_stand_for(
    batch: int, inputs: int, outputs: int, height: int, width: int, stride: int
) -> None:
    # oneDNN with AMX errs there; all that the networks see is square.
    assume(stride == 1 or width > 2 or height < 9)
    torch.manual_seed(inputs)
    plain = rounded(nn.Conv2d(inputs, outputs, 3, stride, padding=1))
    x = Bytes(values(batch, inputs, height, width), 0.02)
    wanted = plain(floats(x))
    left = Quantised(plain, relu=False, largest=None)(x)
    torch.testing.assert_close(left, wanted, rtol=1e-4, atol=1e-4)
    found = Quantised(plain, relu=True, largest=float(wanted.max()) / 2 + 1)(x)
    assert_same_steps(found, torch.relu(wanted))


@given(CHANNELS, CHANNELS, SIDE, SIDE, st.floats(0.001, 0.1))
@settings(deadline=None)
def test_a_short_cut_is_added_whatever_its_steps(
    inputs: int, outputs: int, height: int, width: int, scale: float
) -> None:
    torch.manual_seed(outputs)
    plain = rounded(nn.Conv2d(inputs, outputs, 3, padding=1))
    x = Bytes(values(2, inputs, height, width), 0.02)
    plus = Bytes(values(2, outputs, height, width, seed=1), scale)
    wanted = torch.relu(plain(floats(x)) + floats(plus))
    layer = Quantised(plain, relu=False, largest=float(wanted.max()) + 0.1)
    found = layer.rectified(x, plus)
    assert isinstance(found, Bytes)
    assert_same_steps(found, wanted)


@pytest.mark.parametrize("padding_value", [0, 128])
def test_the_first_layer_sees_pixels_as_if_they_were_normalised(padding_value: int) -> None:
    scale = torch.tensor([0.02, 0.015, 0.017])
    shift = -padding_value * scale if padding_value else torch.tensor([-2.0, -1.8, -1.6])
    plain = nn.Conv2d(3, 16, 5, 4, padding=2 if padding_value else 0)
    photos = values(2, 3, 32, 32)
    wanted = torch.relu(plain(photos * scale.view(3, 1, 1) + shift.view(3, 1, 1)))
    layer = Quantised(
        plain,
        relu=True,
        largest=float(wanted.max()),
        normalisation=Normalisation(scale, shift, padding_value),
    )
    assert layer.takes_pixels
    found = layer(Bytes(photos, 1.0, padding_value))
    assert isinstance(found, Bytes)
    assert (floats(found) - wanted).abs().max() < 0.03 * wanted.max()  # weights of 7 bits


def test_a_relu_between_floats_and_bytes_rounds_and_ends_where_bytes_do() -> None:
    x = torch.tensor([-1.0, 0.0, 0.4, 0.6, 254.6, 255.4, 300.0]).view(1, 1, 1, -1)
    found = Rounded(255.0)(x)
    assert found.values.flatten().tolist() == [0, 0, 0, 1, 255, 255, 255]


def test_with_the_largest_numbers_an_older_processor_computes_the_same() -> None:
    run = (
        "import torch; from torch import nn; from gdwatch.networks.layers import Bytes;"
        "from gdwatch.networks.quantised import Quantised; torch.manual_seed(0);"
        "plain = nn.Conv2d(64, 32, 3).requires_grad_(False);"
        "nn.init.constant_(plain.weight, 1.0); plain.weight[::2, ::3] = -0.9;"
        "x = Bytes(torch.full((1, 64, 5, 5), 255, dtype=torch.uint8), 1.0);"
        "layer = Quantised(plain, relu=False, largest=None);"
        "print(layer(x).double().sum().item(), layer(x).flatten()[:40:9].tolist())"
    )
    printed = set()
    for isa in ("ALL", "AVX2"):
        done = subprocess.run(
            [sys.executable, "-c", run], env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        printed.add(done.stdout)
    assert len(printed) == 1
    assert float(printed.pop().split()[0]) > 1e6


class Operations:
    """The operations of oneDNN, one of which fails or overflows."""

    def __init__(self, change: str) -> None:
        self._change = change
        self.qconv_prepack = torch.ops.onednn.qconv_prepack
        self.qconv2d_pointwise = self

    def __call__(self, *given: object) -> Tensor:
        return self._changed("floats", torch.ops.onednn.qconv2d_pointwise(*given))

    def binary(self, *given: object) -> Tensor:
        return self._changed("sum", torch.ops.onednn.qconv2d_pointwise.binary(*given))

    def _changed(self, what: str, result: Tensor) -> Tensor:
        if self._change == f"no {what}":
            raise RuntimeError("Expected fewer arguments")
        return result // 2 if self._change == f"{what} overflow" else result


@pytest.mark.parametrize(
    "change", ["no floats", "no sum", "floats overflow", "sum overflow", "nothing", ""]
)
def test_bytes_are_left_alone_where_an_operation_is_missing_or_overflows(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = object() if change == "nothing" else Operations(change)
    monkeypatch.setattr(quantised, "_ONEDNN", operations)
    is_fast.cache_clear()
    assert is_fast() == (change == "")
    monkeypatch.undo()
    is_fast.cache_clear()


@pytest.fixture(scope="module", params=["fast", "accurate"])
def shipped(request: pytest.FixtureRequest) -> model.Model:
    return model.load(model_file.read(model_file.find(request.param)))


def quantisable(loaded: model.Model) -> list[tuple[nn.Module, Mapping[str, float]]]:
    """The networks of a model that compute in 8-bit integers, with their ranges."""
    details, classifier = loaded.details, loaded.classifier
    found: list[tuple[nn.Module | None, Network | None, str]] = [
        (classifier, details.classifier, ""),
        (loaded.locator, details.locator, ""),
        (loaded.closer, details.closer, ""),
    ]
    if isinstance(classifier, TwoInputClassifier):
        found[0] = classifier.face, details.classifier, FACE
    return [
        (network, {name.removeprefix(prefix): most for name, most in described.ranges.items()})
        for network, described, prefix in found
        if network is not None and described is not None and described.ranges is not None
    ]


def test_of_a_shipped_model_every_convolution_is_in_bytes(shipped: model.Model) -> None:
    for network, ranges in quantisable(shipped):
        made = quantise(network, ranges)
        assert not any(isinstance(each, nn.Conv2d) for each in made.modules())
        convolutions = [each for each in made.modules() if isinstance(each, Convolution)]
        assert len(convolutions) == sum(isinstance(each, nn.Conv2d) for each in network.modules())
        assert sum(each.takes_pixels for each in convolutions) == 1


def test_what_the_last_layer_sees_is_the_same_to_the_last_digit_in_any_company(
    shipped: model.Model,
) -> None:
    network = quantise(*quantisable(shipped)[0])
    side = shipped.details.classifier.input
    photos = values(23, 3, side, side)
    whole, answers = network.embed(photos), network(photos)
    order = torch.from_numpy(np.random.default_rng(0).permutation(23))
    for size in (1, 4, 9):
        parts = [photos[order[at : at + size]] for at in range(0, 23, size)]
        assert torch.equal(torch.cat([network.embed(part) for part in parts]), whole[order])
        found = torch.cat([network(part) for part in parts])
        torch.testing.assert_close(found, answers[order], rtol=0, atol=1e-5)


def test_a_locator_in_bytes_sees_the_same_faces(shipped: model.Model) -> None:
    locator, ranges = quantisable(shipped)[1]
    assert isinstance(locator, Locator)
    opened = (Image.open(io.BytesIO(make())) for make in (build.astronaut, build.grace_hopper))
    shown = thumbnails([np.array(each.convert("RGB")) for each in opened], 160)
    photos = shown.permute(0, 3, 1, 2)
    wanted, found = locator(photos), quantise(locator, ranges)(photos)
    is_face = torch.sigmoid(wanted[:, 0]) > locator.threshold
    assert is_face.any()
    apart = (torch.sigmoid(found[:, 0]) - torch.sigmoid(wanted[:, 0])).abs()
    assert apart.max() < 0.15
    assert (found - wanted)[:, 1:].abs().amax(1)[is_face].max() < 0.2  # cells, or logarithms


def test_only_a_network_without_norms_and_with_a_first_layer_is_quantised() -> None:
    colour = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    assert ranged(ResidualClassifier(stem=4, widths=[8], blocks=[1], **colour)) == []
    pooled = PooledClassifier(widths=[8, 16], blocks=[1, 1], **colour)
    assert ranged(pooled) == ["stem", *(f"features.{n}.conv{m}" for n in (0, 1) for m in (1, 2))]
    pooled.features.append(nn.BatchNorm2d(16))
    assert ranged(pooled) == []
