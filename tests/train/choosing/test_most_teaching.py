import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from train.choosing.most_teaching import choose, doubt


def test_looks_that_contradict_each_other_are_doubt() -> None:
    p_male = np.array([[0.99, 0.99, 0.5], [0.99, 0.01, 0.5]])
    assert np.allclose(doubt(p_male), [0.01, 0.5, 0.5])


def test_the_unsure_are_chosen_and_not_all_alike() -> None:
    rng = np.random.default_rng(1)
    kinds = np.repeat(np.eye(8) * 10, 50, axis=0)  # eight kinds of pictures, 50 of each
    embedded = kinds + rng.normal(0, 0.1, kinds.shape)
    p_male = np.full((1, 400), 0.999)
    p_male[:, ::5] = 0.6  # of each kind, ten are hard
    chosen = choose(p_male, embedded, 8)
    assert (p_male[0, chosen] == 0.6).all()
    assert sorted(chosen // 50) == list(range(8))


def test_those_in_most_doubt_come_first() -> None:
    rng = np.random.default_rng(1)
    p_male = rng.uniform(0, 1, (1, 90))
    doubts = doubt(p_male)[choose(p_male, rng.normal(0, 1, (90, 4)), 20)]
    assert (np.diff(doubts) <= 0).all()


def test_it_chooses_the_same_each_time() -> None:
    rng = np.random.default_rng(1)
    p_male, embedded = rng.uniform(0, 1, (3, 90)), rng.normal(0, 1, (90, 4))
    assert (choose(p_male, embedded, 20) == choose(p_male, embedded, 20)).all()


@given(st.integers(0, 40), st.integers(1, 30))
def test_no_picture_is_chosen_twice_and_none_beyond_the_count(number: int, count: int) -> None:
    rng = np.random.default_rng(number)
    chosen = choose(rng.uniform(0, 1, (2, number)), rng.normal(0, 1, (number, 3)), count)
    assert len(set(chosen.tolist())) == len(chosen) == min(number, count)
