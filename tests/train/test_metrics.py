import numpy as np
import pytest

from train.metrics import (
    Confusion,
    bootstrap,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    mcnemar,
    measure,
    probabilities,
)

# Four men of whom three are found, two women of whom one is.
P_MALE = np.array([0.9, 0.8, 0.6, 0.3, 0.2, 0.7])
MALE = np.array([True, True, True, True, False, False])


def test_known_answers_give_known_measures() -> None:
    found = measure(P_MALE, MALE, 0.75)
    assert found.pictures == 6
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found.coverage == pytest.approx(3 / 6)
    assert found.roc_auc == pytest.approx(6 / 8)  # of the eight pairs, six stand in order
    assert found.confusion == Confusion(1, 1, 1, 3)
    assert [point.coverage for point in found.curve][:2] == [1.0, 1.0]
    assert found.accepted_accuracy == 1.0


def test_nothing_accepted_has_no_accuracy() -> None:
    assert measure(P_MALE, MALE, 0.99).accepted_accuracy is None


def test_answers_right_as_often_as_they_are_sure_have_no_calibration_error() -> None:
    p_male = np.repeat([0.75, 0.1], [100, 100])
    male = np.concatenate([np.arange(100) < 75, np.arange(100) < 10])
    assert expected_calibration_error(p_male, male) == pytest.approx(0, abs=1e-9)


def test_answers_always_sure_and_half_right_have_half_an_error() -> None:
    assert expected_calibration_error(np.ones(10), np.arange(10) < 5) == pytest.approx(0.5)


def test_the_temperature_undoes_a_factor_on_the_logits() -> None:
    dice = np.random.default_rng(1)
    logits = dice.normal(0, 2, 20_000)
    male = dice.random(20_000) < probabilities(logits, 1.0)
    assert fit_temperature(3 * logits, male) == pytest.approx(3, rel=0.05)


def test_the_threshold_accepts_as_many_as_the_accuracy_allows() -> None:
    found = choose_threshold(P_MALE, MALE, 0.99)
    assert found.min_confidence == pytest.approx(0.8)
    assert found.accuracy == 1.0


def test_where_no_threshold_suffices_the_best_is_taken() -> None:
    p_male = np.array([0.95, 0.9, 0.85])
    found = choose_threshold(p_male, np.array([False, True, True]), 0.99)
    assert found.min_confidence == pytest.approx(0.85)
    assert found.accuracy == pytest.approx(2 / 3)


def test_the_interval_of_many_pictures_is_that_of_the_normal_distribution() -> None:
    low, high = bootstrap(Confusion(900, 100, 100, 900))
    assert (high - low) / 2 == pytest.approx(1.96 * (0.9 * 0.1 / 2000) ** 0.5, rel=0.1)


def test_one_class_alone_has_an_interval_and_no_auc() -> None:
    found = measure(P_MALE[:4], MALE[:4], 0.5)
    assert found.roc_auc is None
    assert 0 <= found.balanced_interval[0] <= 0.75 <= found.balanced_interval[1] <= 1


def test_mcnemar_counts_only_what_one_alone_got_right() -> None:
    one = np.array([True] * 10 + [False] * 2 + [True] * 500)
    other = np.array([False] * 10 + [True] * 2 + [True] * 500)
    assert mcnemar(one, other) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar(one, one) == 1.0


def test_a_logit_beyond_all_measure_is_certain_and_no_overflow() -> None:
    assert probabilities(np.array([-1e4, 0.0, 1e4]), 0.05).tolist() == [0.0, 0.5, 1.0]
