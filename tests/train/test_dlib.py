"""The published weights themselves are 22 MB and not in the project: files of their form are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model_file
from gdwatch.networks.pooled import PooledClassifier
from tests.train.conftest import Untold
from train.data.prepared_set import Prepared
from train.export.export import export
from train.fitting.fit import fit
from train.fitting.recipe import Pooled, Recipe
from train.published import dlib


def network() -> PooledClassifier:
    torch.manual_seed(0)
    return PooledClassifier(widths=[8, 16], blocks=[1, 2], mean=dlib.MEAN, std=dlib.STD).eval()


def integer(value: int) -> bytes:
    content = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "little")
    return bytes([len(content)]) + content


def tensor(values: torch.Tensor) -> bytes:
    dimensions = b"".join(map(integer, (2, values.numel(), 1, 1, 1)))
    return dimensions + values.numpy().astype("<f4").tobytes()


def written(path: Path, of: PooledClassifier) -> list[tuple[nn.Conv2d, torch.Tensor]]:
    """A file of random weights; returns each convolution before its affine layer, and that."""
    torch.manual_seed(1)
    content = b"\x01\x01\x01\x0dloss_metric_2 and more of the kind"
    layers = []
    for each in of.modules():
        if isinstance(each, nn.Conv2d):
            made = nn.Conv2d(each.in_channels, each.out_channels, each.kernel_size)  # type: ignore[arg-type]
            affine = torch.rand(2 * each.out_channels)
            weights = torch.cat((made.weight.detach().flatten(), made.bias.detach()))  # type: ignore[union-attr]
            content += tensor(weights) + b"\x01\x03\x01\x01con_4" + tensor(affine) + b"affine_"
            layers.append((made, affine))
    path.write_bytes(content + b"fc_no_bias")
    return layers


def test_each_convolution_has_its_affine_layer_folded_in(tmp_path: Path) -> None:
    begun = network()
    head = begun.head.weight.clone()
    layers = written(tmp_path / "a.dat", begun)
    dlib.begin_with(begun, tmp_path / "a.dat")
    convolutions = [each for each in begun.modules() if isinstance(each, nn.Conv2d)]
    assert len(convolutions) == len(layers) == 7
    for convolution, (made, affine) in zip(convolutions, layers, strict=True):
        x = torch.randn(1, made.in_channels, 9, 9)
        scale, offset = affine.view(2, 1, -1, 1, 1)
        expected = made(x) * scale + offset
        convolution.stride, convolution.padding = (1, 1), (0, 0)
        assert torch.allclose(convolution(x), expected, atol=1e-5)
    assert torch.equal(begun.head.weight, head)


def test_the_first_stages_alone_can_begin_with_it(tmp_path: Path) -> None:
    written(tmp_path / "a.dat", network())
    shorter = PooledClassifier(widths=[8], blocks=[1], mean=dlib.MEAN, std=dlib.STD)
    before = shorter.stem.weight.clone()
    dlib.begin_with(shorter, tmp_path / "a.dat")
    assert not torch.equal(shorter.stem.weight, before)


def test_another_network_or_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    written(path, network())
    other = PooledClassifier(widths=[8, 32], blocks=[1, 2], mean=dlib.MEAN, std=dlib.STD)
    with pytest.raises(GdwatchError, match="is not there"):
        dlib.begin_with(other, path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(GdwatchError, match="is not there"):
        dlib.begin_with(network(), path)
    with pytest.raises(GdwatchError, match="face-recognition-models"):
        dlib.begin_with(network(), tmp_path / "none.dat")


@pytest.mark.parametrize("side", [57, 64, 65, 66, 80, 112])
def test_a_pooled_network_takes_any_size(side: int) -> None:
    photos = torch.from_numpy(np.full((2, 3, side, side), 90, np.uint8))
    assert network()(photos).shape == (2,)


def test_a_run_begins_with_published_weights_and_goes_on_with_the_same_alone(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    shape = Pooled(arch="pooled", widths=[8, 16], blocks=[1, 2])
    still = recipe.optimizer.model_copy(update={"lr": 1e-12})
    pooled = recipe.model_copy(update={"network": shape, "optimizer": still})
    start = tmp_path / "start.dat"
    written(start, network())
    run = fit(prepared, pooled, tmp_path / "run", Untold(), start=start)
    begun = PooledClassifier(**pooled.arguments, mean=dlib.MEAN, std=dlib.STD)
    dlib.begin_with(begun, start)
    assert torch.allclose(run.network.stem.weight, begun.stem.weight, atol=1e-4)
    file = export(tmp_path / "run", tmp_path / "m.safetensors", "m", "1", 0.99).file
    assert model_file.read(file).details.classifier.arch == "pooled"
    start.write_bytes(start.read_bytes() + b" ")
    with pytest.raises(GdwatchError, match="made with another start"):
        fit(prepared, pooled, tmp_path / "run", Untold(), start=start)
    with pytest.raises(UsageError, match="leave --start out"):
        fit(prepared, recipe, tmp_path / "other", Untold(), start=start)
