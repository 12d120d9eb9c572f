import numpy as np

from tests.train.tuning.test_head import OLD, examples
from train.tuning.held_out import STRENGTHS, Lesson, choose, held_out_logits


def lesson(shifted: float, *, noise: bool = False) -> Lesson:
    own, male = examples(80, 1, shifted=shifted)
    if noise:
        male = np.random.default_rng(3).permutation(male)
    rehearsed, _ = examples(100, 2)
    return Lesson(own, male, np.arange(80), rehearsed, OLD)


def test_pictures_that_are_not_learnt_from_are_told_as_well() -> None:
    asked = lesson(2.0)
    before = ((asked.own.logits(OLD) > 0) == asked.male).mean()
    assert ((held_out_logits(asked) > 0) == asked.male).mean() > before + 0.2


def test_labels_by_chance_are_not_learnt() -> None:
    asked = lesson(0.0, noise=True)
    right = ((held_out_logits(asked) > 0) == asked.male).mean()
    assert 0.3 < right < 0.7


def test_a_model_that_knows_everything_is_left_as_it_is() -> None:
    asked = lesson(0.0)
    firm = Lesson(asked.own, asked.male, asked.group, asked.rehearsed, 3 * OLD)
    assert choose(firm) in STRENGTHS[:2]


def test_pictures_of_one_group_are_never_learnt_from_and_asked_at_once() -> None:
    """Of each face there is a copy with the other label: who had seen it would always be wrong."""
    asked = lesson(2.0)
    twice = np.arange(160) % 80
    copied = Lesson(asked.own.select(twice), asked.male[twice], twice, asked.rehearsed, OLD)
    assert np.allclose(held_out_logits(copied)[:80], held_out_logits(copied)[80:])
