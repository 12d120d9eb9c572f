"""Weights of the published form, which know nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gdwatch.errors import GdwatchError
from tests.train.published.mobilenet_file import written
from train.published.mobilenet import FEATURES, MobileNet


def test_the_upper_part_and_the_rest_are_seen_apart(tmp_path: Path) -> None:
    written(tmp_path / "mobilenet.pth")
    one = np.random.default_rng(0).integers(0, 256, (1, 640, 64, 3), dtype=np.uint8)
    other = one.copy()
    other[:, 600:] = 0  # so far below the upper part that nothing there sees it
    seen = MobileNet(tmp_path / "mobilenet.pth").embed(np.concatenate((one, other)))
    assert seen.shape == (2, FEATURES)
    upper, rest = np.split(abs(seen[0] - seen[1]), 2)
    assert upper.max() < 1e-5 < rest.max()


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mobilenet.pth"
    with pytest.raises(GdwatchError, match=r"mobilenet\.pth: no weights of MobileNetV2"):
        MobileNet(path)
    for content in (b"", b"no weights"):
        path.write_bytes(content)
        with pytest.raises(GdwatchError, match=r"mobilenet\.pth: no weights of MobileNetV2"):
            MobileNet(path)
    for saved in ({"features.0": torch.zeros(3)}, torch.zeros(3)):
        torch.save(saved, path)
        with pytest.raises(GdwatchError, match=r"mobilenet\.pth: no weights of MobileNetV2"):
            MobileNet(path)
