import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gdwatch.inference import model, model_file
from gdwatch.networks import fused
from gdwatch.networks.fused import Fused, fuse
from gdwatch.networks.layers import rectified

SIDE = st.integers(1, 12)
CHANNELS = st.integers(1, 40)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def pixels(*shape: int, seed: int = 0) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last)


SHAPE = st.tuples(st.integers(1, 5), CHANNELS, SIDE, SIDE)


@pytest.mark.parametrize("relu", [False, True])
@given(shape=SHAPE, outputs=CHANNELS, stride=st.sampled_from([1, 2]))
@settings(deadline=None)
def test_a_fused_convolution_computes_the_same(
    *, relu: bool, shape: tuple[int, ...], outputs: int, stride: int
) -> None:
    plain = nn.Conv2d(shape[1], outputs, 3, stride, padding=1, bias=relu).eval()
    x = pixels(*shape)
    wanted = torch.relu(plain(x)) if relu else plain(x)
    torch.testing.assert_close(Fused(plain, relu=relu)(x), wanted, rtol=1e-4, atol=1e-5)


@given(st.integers(1, 5), CHANNELS, CHANNELS, SIDE, SIDE)
@settings(deadline=None)
def test_a_short_cut_is_added_before_what_is_negative_becomes_0(
    batch: int, inputs: int, outputs: int, height: int, width: int
) -> None:
    plain = nn.Conv2d(inputs, outputs, 3, padding=1).eval()
    x, plus = pixels(batch, inputs, height, width), pixels(batch, outputs, height, width, seed=1)
    wanted = torch.relu(plain(x) + plus)
    for convolution in (plain, Fused(plain, relu=False)):
        found = rectified(convolution, x, plus.clone())
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(
    not fused.computes_in(torch.bfloat16), reason="this processor does not compute in bfloat16"
)
def test_weights_are_laid_out_anew_for_another_precision() -> None:
    convolution = Fused(nn.Conv2d(16, 16, 3, padding=1), relu=True)
    x = pixels(2, 16, 8, 8)
    wanted = convolution(x)
    found = convolution.to(torch.bfloat16)(x.to(torch.bfloat16))
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", ["fast", "accurate"])
def test_of_a_shipped_model_every_convolution_is_fused_and_it_answers_the_same(name: str) -> None:
    loaded = model.load(model_file.read(model_file.find(name)))
    assert loaded.locator is not None
    for network, side in ((loaded.locator, 160), (loaded.classifier, 128)):
        photos = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8)
        wanted = network(photos)
        before = sum(isinstance(each, nn.Conv2d) for each in network.modules())
        fuse(network)
        fuse(network)  # a second time changes nothing
        kinds = [type(each) for each in network.modules()]
        assert kinds.count(Fused) == before
        torch.testing.assert_close(network(photos), wanted, rtol=1e-3, atol=1e-3)


def test_without_onednn_a_network_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_ONEDNN", object())
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Identity(), nn.ReLU())
    fuse(network)
    assert [type(each) for each in network] == [nn.Conv2d, nn.Identity, nn.ReLU]


@pytest.mark.parametrize("isa", ["AVX2", "DEFAULT"])
def test_whatever_the_processor_a_network_in_any_precision_runs(isa: str) -> None:
    run = """
import torch
from torch import nn
from gdwatch.networks.fused import fuse
torch.set_grad_enabled(False)
for precision in (torch.float32, torch.bfloat16, torch.float16):
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU()).to(precision).eval()
    fuse(network)
    print(precision, *network(torch.ones(1, 3, 8, 8, dtype=precision)).shape)
"""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
    done = subprocess.run(
        [sys.executable, "-c", run], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        f"torch.{precision} 1 16 6 6" for precision in ("float32", "bfloat16", "float16")
    ], done.stderr


def test_a_norm_that_is_not_folded_keeps_its_place() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    x = pixels(2, 3, 9, 9)
    wanted = network(x)
    fuse(network)
    assert [type(each) for each in network] == [Fused, nn.BatchNorm2d, nn.ReLU]
    torch.testing.assert_close(network(x), wanted, rtol=1e-4, atol=1e-5)
