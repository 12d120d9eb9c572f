import pytest
import torch

from train.fitting.augment import AugmentationParameters, augment, draw_parameters
from train.fitting.recipe import Augmentation, Recipe

STILL = Augmentation(degrees=0, zoom=1, shift=0, brightness=0, contrast=0, grey=0)


def test_a_rim_is_only_seen_where_a_picture_moves() -> None:
    with_rim = torch.zeros(8, 3, 40, 40, dtype=torch.uint8)
    with_rim[:, :, 4:36, 4:36] = 200
    still = augment(with_rim, draw_parameters(8, STILL), STILL, 32)
    assert still.shape == (8, 3, 32, 32)
    assert still.min() > 199
    moving = STILL.model_copy(update={"shift": 0.1})
    torch.manual_seed(0)
    assert augment(with_rim, draw_parameters(8, moving), moving, 32).min() < 100


def test_something_hides_a_part_and_resolution_is_lost() -> None:
    torch.manual_seed(0)
    photos = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    hiding = STILL.model_copy(update={"hidden": 1.0})
    seen = augment(photos, draw_parameters(16, hiding), hiding, 32)
    flat = (seen[:, :, 1:, 1:] == seen[:, :, :-1, :-1]).all(1).float().mean((1, 2))
    assert flat.min() > 0.01
    assert flat.max() < 0.3
    coarse = STILL.model_copy(update={"coarse": 1.0})
    assert (
        augment(photos, draw_parameters(16, coarse), coarse, 32).std() < 0.8 * photos.float().std()
    )


def test_augmentation_of_nothing_mirrors_at_most(recipe: Recipe) -> None:
    still = recipe.augmentation.model_copy(
        update=dict.fromkeys(("degrees", "shift", "brightness", "contrast", "grey"), 0.0)
        | {"zoom": 1.0}
    )
    photos = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    changed = augment(photos, draw_parameters(8, still), still, 16)
    for before, after in zip(photos.float(), changed, strict=True):
        mirrored = after.flip(2)
        assert torch.allclose(after, before, atol=0.01) or torch.allclose(
            mirrored, before, atol=0.01
        )


def test_a_turned_rectangle_keeps_its_proportions() -> None:
    tall = torch.zeros(1, 3, 80, 50, dtype=torch.uint8)
    tall[:, :, 30:50, 15:35] = 255  # a square in the middle
    turn = AugmentationParameters(
        affine=torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]]),
        contrast=torch.ones(1), brightness=torch.zeros(1), grey=torch.zeros(1),
        coarse=torch.zeros(1), factor=torch.ones(1), hidden=torch.zeros(1, 4),
        colour=torch.zeros(1, 3),
    )  # fmt: skip
    seen = augment(tall, turn, STILL, 64)
    assert seen.shape == (1, 3, 64, 40)
    bright = seen[0, 0] > 128
    assert bright.any(1).sum() == pytest.approx(20, abs=1)
    assert bright.any(0).sum() == pytest.approx(20, abs=1)
