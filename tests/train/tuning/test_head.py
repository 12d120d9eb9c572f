import numpy as np

from train.tuning.head import Examples, Strength, fit

FIRM, LOOSE = Strength(prior=1e6, rehearsal=1.0), Strength(prior=1e-3, rehearsal=0.0)


def examples(count: int, seed: int, *, shifted: float = 0.0) -> tuple[Examples, np.ndarray]:
    """Faces of which the first number tells the class, and the second one where they are from."""
    dice = np.random.default_rng(seed)
    male = np.arange(count) % 2 == 1
    seen = dice.normal(0, 0.3, (count, 2, 4))
    seen[:, :, 0] += np.where(male, 1.0, -1.0)[:, None] + shifted
    seen[:, :, 1] += shifted
    seen[:, :, 3] = 1.0
    return Examples(seen, np.ones(count), np.zeros(count)), male


OLD = np.array([3.0, 0.0, 0.0, 0.0])


def accuracy(faces: Examples, male: np.ndarray, weights: np.ndarray) -> float:
    return float(((faces.logits(weights) > 0) == male).mean())


def test_what_differs_from_the_old_pictures_is_learnt_and_the_old_ones_are_not_forgotten() -> None:
    own, male = examples(80, 1, shifted=2.0)
    rehearsed, old_male = examples(200, 2)
    assert accuracy(own, male, OLD) < 0.7
    weights = fit(own, male, rehearsed, OLD, Strength(prior=0.1, rehearsal=1.0))
    assert accuracy(own, male, weights) > 0.95
    assert accuracy(rehearsed, old_male, weights) > 0.97


def test_without_a_rehearsal_the_old_pictures_are_forgotten() -> None:
    own, male = examples(80, 1, shifted=2.0)
    own.seen[:, :, 1] -= 2.0  # nothing tells where they are from
    rehearsed, old_male = examples(200, 2)
    kept, lost = (
        accuracy(rehearsed, old_male, fit(own, male, rehearsed, OLD, Strength(0.1, share)))
        for share in (3.0, 0.0)
    )
    assert kept > lost + 0.1


def test_a_firm_hold_changes_nothing() -> None:
    own, male = examples(80, 1, shifted=2.0)
    rehearsed, _ = examples(20, 2)
    assert np.allclose(fit(own, male, rehearsed, OLD, FIRM), OLD, atol=1e-3)


def test_what_the_model_adds_after_its_last_layer_counts() -> None:
    own, male = examples(80, 1)
    own = Examples(own.seen, np.full(80, -1.0), np.full(80, 0.5))
    rehearsed, _ = examples(0, 2)
    weights = fit(own, male, rehearsed, OLD, LOOSE)
    assert weights[0] < 0
    assert accuracy(own, male, weights) > 0.95
