from pathlib import Path

import pytest
import torch

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from gdwatch.networks.pooled import PooledClassifier
from train.fitting import checkpoint, start
from train.fitting import recipe as recipes
from train.fitting.checkpoint import Basis


def begun(name: str) -> checkpoint.Run:
    recipe = recipes.read(name)
    assert recipe.mean is not None
    assert recipe.std is not None
    return checkpoint.start(Basis(recipe, "", "", "", "", recipe.mean, recipe.std))


def test_a_shipped_model_is_named_and_learns_to_tell_nobody() -> None:
    run = begun("fast")
    recipe = run.basis.recipe
    file = start.find(Path("fast"), recipe)
    shipped = model.load(model_file.read(file)).classifier
    start.load(run.network, file, recipe)
    photos = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        told, before = run.network.eval()(photos), shipped(photos)
    assert torch.allclose(told[:, 0], before[:, 0], atol=1e-4)
    assert isinstance(shipped, PooledClassifier)
    if shipped.head.out_features == 1:
        assert torch.allclose(told[:, 1], torch.tensor(-3.0))


def test_weights_for_another_network_are_refused(tmp_path: Path) -> None:
    fast, around = recipes.read("fast"), recipes.read("surroundings")
    with pytest.raises(UsageError, match="use a recipe with a surroundings network"):
        start.find(tmp_path / "mobilenet.pth", fast)
    with pytest.raises(UsageError, match="use a recipe with a pooled network"):
        start.find(tmp_path / "dlib.dat", around)
    with pytest.raises(GdwatchError, match="no such file"):
        start.find(tmp_path / "none.safetensors", fast)
    run = begun("accurate")
    with pytest.raises(UsageError, match="its network is not the recipe's"):
        start.load(run.network, model_file.find("fast"), run.basis.recipe)


def test_layers_that_begin_with_published_weights_learn_more_slowly() -> None:
    groups = begun("surroundings").optimizer.param_groups
    factors = {(group["factor"], group["weight_decay"] > 0) for group in groups}
    assert factors == {(0.5, True), (0.5, False), (1.0, True), (1.0, False)}
