import numpy as np
import pytest

from train.evaluation import plots
from train.metrics import Accepted


@pytest.mark.parametrize("pictures", [5, 50, 700])
def test_no_point_of_the_reliability_curve_stands_for_a_handful(pictures: int) -> None:
    p_male = np.random.default_rng(1).uniform(0, 1, pictures)
    points = plots.reliable_points(p_male, p_male > 0.4)
    assert sum(point.pictures for point in points) == pictures
    assert min(point.pictures for point in points) >= min(30, pictures)
    assert all(point.low <= point.share <= point.high for point in points)
    assert [point.said for point in points] == sorted(point.said for point in points)


def test_the_curve_tells_how_many_pictures_a_point_has() -> None:
    p_male = np.linspace(0, 1, 100)
    assert "33 or 34 pictures a point" in plots.reliability(p_male, p_male > 0.5)


def test_the_chosen_confidence_stands_in_the_legend() -> None:
    curve = [Accepted(0.5, 1.0, 0.9), Accepted(0.9, 0.01, 1.0)]
    drawn = plots.coverage(curve, 0.9, curve[1])
    assert drawn.index("legend_1") < drawn.index("min_confidence 0.900")
