from pathlib import Path

import pytest
import torch

from gdwatch.errors import GdwatchError, UsageError
from tests.train.old_program import Old
from train.fitting import checkpoint
from train.fitting import recipe as recipes
from train.fitting.recipe import Recipe


def test_the_readme_names_every_recipe() -> None:
    readme = (Path(__file__).parents[3] / "docs" / "train.md").read_text()
    for recipe in recipes.PACKAGED.glob("*.toml"):
        assert f"`{recipe.stem}`" in readme


@pytest.mark.parametrize("file", sorted(recipes.PACKAGED.glob("*.toml")), ids=lambda f: f.stem)
def test_every_packaged_recipe_makes_a_network(file: Path) -> None:
    recipe = recipes.read(file.stem)
    basis = checkpoint.Basis(
        recipe, "", "", "", "", recipe.mean or (0, 0, 0), recipe.std or (1, 1, 1)
    )
    with torch.inference_mode():
        width = 80 if recipe.crop == "surroundings" else recipe.input
        photos = torch.zeros((2, 3, recipe.input, width), dtype=torch.uint8)
        assert checkpoint.build(basis).eval()(photos).shape == (2, 2)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(
        UsageError, match=r"recipe none: no such file; name one of accurate, default"
    ):
        recipes.read("none")


def test_an_unknown_key_of_a_recipe_is_named(tmp_path: Path) -> None:
    text = (recipes.PACKAGED / "default.toml").read_text()
    (tmp_path / "r.toml").write_text("epochz = 3\n" + text)
    with pytest.raises(GdwatchError, match=r"r\.toml: epochz: extra inputs are not permitted"):
        recipes.read(str(tmp_path / "r.toml"))


def test_nll_with_shares_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="nll learns classes, not shares"):
        Recipe.model_validate(recipe.model_dump() | {"loss": "nll"})


def test_the_seed_recipe_is_the_old_network_to_the_letter() -> None:
    recipe = recipes.read("seed")
    basis = checkpoint.Basis(
        recipe, "", "", "", "", recipe.mean or (0, 0, 0), recipe.std or (1, 1, 1)
    )
    new = [tuple(weight.shape) for weight in checkpoint.build(basis).parameters()]
    assert new == [tuple(weight.shape) for weight in Old().parameters()]
    assert (recipe.batch, recipe.optimizer.name, recipe.optimizer.lr) == (16, "adam", 2e-4)
    assert (recipe.loss, recipe.best_by, recipe.augmentation.degrees) == ("nll", "loss", 15)


def test_what_a_network_sees_must_fit_it(recipe: Recipe) -> None:
    around = recipes.read("surroundings").model_dump()
    with pytest.raises(ValueError, match="for a network of this name"):
        Recipe.model_validate(around | {"crop": "face"})
    with pytest.raises(ValueError, match="mean and std must be those of the face's recipe"):
        Recipe.model_validate(around | {"mean": None})
    with pytest.raises(ValueError, match="tells nobody learns from crops"):
        Recipe.model_validate(recipes.read("fast").model_dump() | {"crop": "whole"})


def test_face_and_surroundings_of_accurate_are_normalised_alike() -> None:
    face, around = recipes.read("accurate"), recipes.read("surroundings")
    assert (face.mean, face.std) == (around.mean, around.std)
