"""What several test files share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import build

pytest_plugins = ["tests.faults.counting"]

# How long an example takes says something of the machine alone.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: --long"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with its five folders, as after a first start, but no ledger yet."""
    return build.make_root(tmp_path / "root")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file to which bright pictures are male, dark ones female, grey ones neither."""
    return build.model_file(tmp_path_factory.mktemp("model") / "brightness.safetensors")


@pytest.fixture
def services(model: Path) -> Iterator[build.Services]:
    with build.Services(model).ending() as services:
        yield services
