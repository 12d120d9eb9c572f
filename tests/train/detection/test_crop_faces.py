import numpy as np
import pytest

from gdwatch.errors import GdwatchError
from gdwatch.networks.locator import Locator
from tests.train.build import TINY_LOCATOR
from train.data.prepared_set import RIM, SIDE, Prepared
from train.data.sources import entries
from train.detection import crop_faces


def test_without_a_face_the_whole_picture_stands_inside_the_rim(
    cut: Prepared, prepared: Prepared
) -> None:
    assert cut.rim == RIM
    assert cut.digest != prepared.digest
    row = np.array([0])
    assert cut.with_rim(row).shape == (1, SIDE + 2 * RIM, SIDE + 2 * RIM, 3)
    shape = cut.rows[0]
    if shape.width == shape.height:
        apart = cut.pixels(row).astype(int) - prepared.pixels(row).astype(int)
        assert np.abs(apart).mean() < 6


def test_a_photograph_that_can_no_longer_be_read_is_named(prepared: Prepared) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])
    (data / listed[3].path).write_bytes(b"RIFF, and no more of it")
    finder = Locator(**TINY_LOCATOR.network.model_dump(), threshold=0.999)
    with pytest.raises(GdwatchError, match=f"{listed[3].path}: can no longer be read"):
        crop_faces.cut(listed, prepared.folder, finder, 64)
    (data / listed[3].path).unlink()
    with pytest.raises(GdwatchError, match=f"{listed[3].path}: can no longer be read"):
        crop_faces.cut(listed, prepared.folder, finder, 64)
