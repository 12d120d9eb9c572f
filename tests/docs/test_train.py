"""docs/train.md and docs/models.md: commands, recipes, and what a model file has."""

from gdwatch import settings
from gdwatch.inference.model_file import CASCADES
from tests.docs.pages import DOCS, TOP, code, commands_of, program, rows, section, text_of

TRAIN = text_of(DOCS / "train.md")
MODELS = text_of(DOCS / "models.md")


def test_the_table_of_commands_is_that_of_the_trainer():
    told = [
        code(row[0])[0].removeprefix("gdtrain ") for row in rows(section(TRAIN, "All commands"))
    ]
    assert sorted(told) == sorted(commands_of(program("gdtrain")))


def test_every_recipe_has_its_line():
    told = [name for row in rows(section(TRAIN, "fit")) for name in code(row[0])]
    assert sorted(told) == sorted(file.stem for file in (TOP / "train/recipes").glob("*.toml"))


def test_every_shipped_model_has_its_line_with_its_size():
    shipped = {
        file.stem: file.stat().st_size for file in (TOP / "gdwatch/models").glob("*.safetensors")
    }
    shipped |= {name: sum(shipped[each] for each in models) for name, models in CASCADES.items()}
    told = {code(row[0])[0]: row[-1] for row in rows(section(MODELS, "The shipped models"))}
    assert told == {name: f"{size / 1e6:.1f} MB" for name, size in shipped.items()}


def test_the_model_that_is_called_the_default_is_the_default():
    (default,) = [row for row in rows(section(MODELS, "The shipped models")) if "default" in row[0]]
    assert code(default[0])[0] == settings.Settings.model_fields["model"].default


def keys_of_a_file() -> tuple[dict[str, object], dict[str, object]]:
    """The metadata of a shipped model, and of its locator."""
    import json

    content = (TOP / "gdwatch/models/fast.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    details = json.loads(header["__metadata__"]["gdwatch"])
    return details, details["locator"]


def test_every_key_of_a_model_file_is_explained():
    details, network = keys_of_a_file()
    told = [name for row in rows(section(MODELS, "The model file")) for name in code(row[0])]
    assert sorted(told) == sorted([*details, *network])


def test_every_key_of_preprocessing_is_explained():
    details, _ = keys_of_a_file()
    (row,) = [row for row in rows(MODELS) if row[0] == "`preprocessing`"]
    assert set(code(row[1])) == set(details["preprocessing"])
