from gdwatch.inference import model_file
from train.detection import locator_recipe


def test_the_packaged_locator_recipe_is_the_shipped_network() -> None:
    recipe = locator_recipe.read("locator")
    shipped = model_file.read(model_file.find("fast")).details.locator
    assert shipped is not None
    wanted = recipe.network.model_dump() | {"threshold": recipe.threshold, "folded": True}
    assert (shipped.arguments, shipped.input) == (wanted, recipe.input)


def test_the_closer_look_begins_with_the_network_of_the_first_one() -> None:
    first, closer = locator_recipe.read("locator").network, locator_recipe.read("closer").network
    assert closer.stem == first.stem
    assert closer.widths == first.widths
