from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.errors import UsageError
from gdwatch.inference.model_file import Details
from tests import build
from train.export.naming import identity_of

NOW = datetime(2026, 3, 9, tzinfo=UTC)


def test_a_model_is_named_as_its_file_and_versioned_by_the_day() -> None:
    assert identity_of(Path("runs/mine.safetensors"), None, None, NOW) == ("mine", "2026.03.09")
    found = identity_of(Path("My archive (2).safetensors"), None, None, NOW)
    assert found == ("My-archive-2", "2026.03.09")


def test_a_given_name_and_version_are_taken_as_they_are() -> None:
    assert identity_of(Path("m.safetensors"), "fast", "0.6.0", NOW) == ("fast", "0.6.0")


@pytest.mark.parametrize("name", ["fast", "accurate", "whole", "auto"])
def test_no_model_gets_a_shipped_ones_name_by_the_way(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is the name of a shipped model"):
        identity_of(Path(f"{name}.safetensors"), None, None, NOW)


@pytest.mark.parametrize(("name", "version"), [("a b", "1"), ("", "1"), ("a", "1/2"), ("a", "")])
def test_what_a_model_file_does_not_take_is_refused_before_the_work(
    name: str, version: str
) -> None:
    with pytest.raises(UsageError, match="use letters, digits and _"):
        identity_of(Path("m.safetensors"), name, version, NOW)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), max_size=20))
def test_every_file_has_a_name_that_a_model_file_takes(stem: str) -> None:
    name, version = identity_of(Path(f"{stem}0.safetensors"), None, None, NOW)
    changed = build.located().model_dump() | {"name": name, "version": version}
    assert Details.model_validate(changed).name == name
