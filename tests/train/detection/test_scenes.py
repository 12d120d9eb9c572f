import numpy as np
from PIL import Image

from train.detection.scenes import Photograph, Stock, compose


def noisy(side: int = 200) -> Photograph:
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    box = np.array([[60, 50, 120, 130, 0.9, *[90.0] * 10]], np.float32)
    return Photograph(Image.fromarray(noise), box)


def test_a_scene_depends_on_its_dice_alone() -> None:
    made_of = Stock([noisy()], [noisy(120)], [])
    one, same, other = (compose(made_of, 64, np.random.default_rng(n)) for n in (1, 1, 2))
    assert one.thumbnail.shape == (3, 64, 64)
    assert (one.thumbnail == same.thumbnail).all()
    assert (one.thumbnail != other.thumbnail).any()
    assert compose(Stock([], [], []), 64, np.random.default_rng(0)).heat.shape == (8, 8)
