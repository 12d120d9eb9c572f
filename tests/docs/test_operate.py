"""docs/operate.md: settings and extras are those of the program."""

import re
import tomllib

import pytest

from gdwatch import settings
from gdwatch.settings import Settings
from tests.docs.pages import DOCS, TOP, code, rows, section, text_of

TEXT = text_of(DOCS / "operate.md")
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def settings_table() -> str:
    """The table of settings, made from the settings themselves."""
    lines = ["| setting | default | |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if default is None:
            shown = ""
        elif isinstance(default, tuple):
            shown = " ".join(f"`{value}`" for value in default)
        else:
            shown = f"`{default}`"
        lines.append(f"| `{name}` | {shown} | {field.description} |")
    return "\n".join(lines)


def test_the_table_of_settings_is_that_of_the_program():
    assert settings_table() in TEXT


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_settings_file_that_is_shown_can_be_loaded(example, tmp_path):
    file = tmp_path / "gdwatch.toml"
    file.write_text(example)
    loaded = settings.load({}, file)
    assert loaded.origins.keys() >= tomllib.loads(example).keys()
    assert {loaded.origins[name] for name in tomllib.loads(example)} == {str(file)}


def test_there_is_a_settings_file_to_copy():
    assert EXAMPLES


def test_every_extra_for_operators_is_listed():
    extras = tomllib.loads(text_of(TOP / "pyproject.toml"))["project"]["optional-dependencies"]
    told = {name for row in rows(section(TEXT, "Install")) for name in code(row[0])}
    assert told == extras.keys() - {"dev"}


def test_a_gpu_drop_in_changes_what_the_unit_says():
    unit = text_of(TOP / "deploy" / "gdwatch.service")
    told = dict(
        each.split("=", 1) for each in code(section(TEXT, "With a CUDA card")) if "=" in each
    )
    for name in ("PrivateDevices", "MemoryMax"):
        assert f"\n{name}=" in unit
        assert f"\n{name}={told[name]}\n" not in unit
