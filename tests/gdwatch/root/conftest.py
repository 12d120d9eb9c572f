"""The folders of a root, as after a first start."""

from pathlib import Path

import pytest

from gdwatch.root.folders import Folders
from tests import build


@pytest.fixture
def folders(root: Path) -> Folders:
    return build.folders_of(root)[0]
