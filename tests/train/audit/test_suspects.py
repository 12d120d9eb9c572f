import numpy as np
from PIL import ImageFilter

from tests.train.build import photograph
from train.audit import suspects


def test_pictures_that_cannot_be_told_are_those_near_a_half() -> None:
    found = suspects.unknowable(np.array([0.01, 0.45, 0.7, 0.52, 0.99]))
    assert [suspect.row for suspect in found] == [1, 3]


def test_the_odd_one_of_a_cluster_is_found() -> None:
    dice = np.random.default_rng(0)
    embedded = np.concatenate([dice.normal(5 * k, 0.1, (40, 8)) for k in (0, 1)])
    male = np.arange(80) >= 40
    male[7] = True
    found = suspects.outliers(embedded, male)
    assert [suspect.row for suspect in found] == [7]
    assert "labelled male in cluster" in found[0].evidence


def test_a_blurred_picture_shows_nothing_and_a_sharp_one_does() -> None:
    sharp = photograph("sharp", side=128, barred=True)
    blurred = sharp.filter(ImageFilter.GaussianBlur(25))
    assert suspects.uninformative(np.asarray(sharp), 128) is None
    found = suspects.uninformative(np.asarray(blurred), 128)
    assert found is not None
    assert found[1].startswith("blurred: ")
