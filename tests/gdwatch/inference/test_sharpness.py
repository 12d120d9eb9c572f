"""A crop's sharpness, by its definition and to the eye."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy import ndimage

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.sharpness import sharpness
from tests.gdwatch.inference.test_predictor import real_photographs

LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


def of(*squares: Pixels) -> list[float]:
    found: list[float] = sharpness(torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)).tolist()
    return found


@pytest.mark.parametrize("side", [4, 5, 64])
def test_it_is_the_variance_of_the_laplacian_of_luma(side: int) -> None:
    squares = np.random.default_rng(side).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    squares[1] //= 9
    expected = []
    for square in squares:
        luma = square @ np.array([0.299, 0.587, 0.114])
        expected.append(ndimage.convolve(luma, LAPLACIAN)[1:-1, 1:-1].var())
    assert of(*squares) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_a_blurred_crop_is_less_sharp() -> None:
    photo = real_photographs()[0].crop((150, 50, 300, 200)).resize((64, 64))
    soft = photo.filter(ImageFilter.GaussianBlur(2))
    grey = Image.new("RGB", (64, 64), (90, 90, 90))
    sharp, less, not_at_all = of(*map(np.asarray, (photo, soft, grey)))
    assert sharp > 5 * less
    assert not_at_all == pytest.approx(0, abs=1e-3)
