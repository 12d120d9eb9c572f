import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.inference.calibration import Calibrated, qualities
from gdwatch.inference.model_file import Calibration

LOGIT = st.floats(-20, 20)
SIZE = st.floats(0, 4000)
SHARP = st.floats(0, 20_000)
EFFECT = st.floats(-1, 1)


def p_male(made: Calibrated, logit: float, size: float, sharp: float) -> float:
    return float(made.p_male(*(torch.tensor([each]) for each in (logit, size, sharp))))


@given(LOGIT, SIZE, SHARP)
def test_without_effects_it_is_temperature_scaling(logit: float, size: float, sharp: float) -> None:
    found = p_male(Calibrated(2.0, Calibration()), logit, size, sharp)
    assert found == pytest.approx(float(torch.sigmoid(torch.tensor(logit / 2))), abs=1e-6)


@given(LOGIT.filter(lambda z: abs(z) > 0.01), SIZE, SHARP, EFFECT, EFFECT)
def test_the_likelier_class_stays_the_likelier_one(
    logit: float, size: float, sharp: float, by_size: float, by_sharpness: float
) -> None:
    made = Calibrated(1.0, Calibration(size=by_size, sharpness=by_sharpness))
    assert (p_male(made, logit, size, sharp) > 0.5) == (logit > 0)


def test_a_smaller_or_blurred_face_is_less_sure_where_the_effects_are_positive() -> None:
    made = Calibrated(1.0, Calibration(size=0.2, sharpness=0.1))
    large, small = p_male(made, 2.0, 128, 100), p_male(made, 2.0, 16, 100)
    assert small < p_male(made, 2.0, 32, 100) < large
    assert p_male(made, 2.0, 32, 1) < p_male(made, 2.0, 32, 100)


def test_of_a_whole_photograph_neither_size_nor_sharpness_counts() -> None:
    size, sharp = qualities(torch.tensor([0.0, 64.0]), torch.tensor([1000.0, 1000.0]))
    assert size.tolist() == [0.0, 1.0]
    assert sharp.tolist() == pytest.approx([0.0, 1.0])
