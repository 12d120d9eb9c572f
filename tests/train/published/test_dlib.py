"""The published weights themselves are 22 MB and not in the project: files of their form are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gdwatch.errors import GdwatchError
from gdwatch.networks.pooled import PooledClassifier
from tests.train.published.dlib_file import written
from train.published import dlib


def network() -> PooledClassifier:
    torch.manual_seed(0)
    return PooledClassifier(widths=[8, 16], blocks=[1, 2], mean=dlib.MEAN, std=dlib.STD).eval()


def test_each_convolution_has_its_affine_layer_folded_in(tmp_path: Path) -> None:
    begun = network()
    head = begun.head.weight.clone()
    layers = written(tmp_path / "a.dat", begun)
    dlib.load_weights(begun, tmp_path / "a.dat")
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
    dlib.load_weights(shorter, tmp_path / "a.dat")
    assert not torch.equal(shorter.stem.weight, before)


def test_another_network_or_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    written(path, network())
    other = PooledClassifier(widths=[8, 32], blocks=[1, 2], mean=dlib.MEAN, std=dlib.STD)
    with pytest.raises(GdwatchError, match="is not there"):
        dlib.load_weights(other, path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(GdwatchError, match="is not there"):
        dlib.load_weights(network(), path)
    with pytest.raises(GdwatchError, match="face-recognition-models"):
        dlib.load_weights(network(), tmp_path / "none.dat")


@pytest.mark.parametrize("side", [57, 64, 65, 66, 80, 112])
def test_a_pooled_network_takes_any_size(side: int) -> None:
    photos = torch.from_numpy(np.full((2, 3, side, side), 90, np.uint8))
    assert network()(photos).shape == (2, 2)
