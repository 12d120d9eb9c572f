"""The scenes of one epoch, as torch loads them: each depends on the seed and its number alone."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from train.detection.locator_recipe import LocatorRecipe
from train.detection.scenes import Scene, Stock, Windows, compose


class SceneDataset(Dataset[tuple[Tensor, ...]]):
    """As many scenes as the recipe has in an epoch, each as the tensors of a `Scene`."""

    def __init__(self, stock: Stock, recipe: LocatorRecipe, epoch: int) -> None:
        self._stock, self._recipe, self._epoch = stock, recipe, epoch

    def __len__(self) -> int:
        return self._recipe.scenes

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        windows = Windows(self._recipe.windows, self._recipe.input)
        rng = np.random.default_rng([self._recipe.seed, self._epoch, number])
        scene = compose(self._stock, self._recipe.scene or self._recipe.input, rng, windows)
        return tuple(torch.from_numpy(getattr(scene, name)) for name in Scene.__slots__)
