from collections.abc import Sequence

import numpy as np
import pytest

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.cascade import CascadePredictor, in_doubt
from gdwatch.inference.faces import Detection
from gdwatch.inference.predictor import Finish, Result
from gdwatch.values import Box, Face, Scores

SIDE = 400
LARGE = Box(150, 150, 100, 100)


def face(p_male: float = 0.99, box: Box = LARGE, p_nobody: float = 0.0) -> Face:
    return Face(box, 0.9, p_male, 100.0, p_nobody)


def doubted(*faces: Face, tilt: float = 0.0) -> bool:
    located = [Detection(each.box, each.score, tilt) for each in faces]
    return in_doubt(Scores(None, len(faces), faces), located, SIDE, SIDE)


def test_a_large_upright_face_that_is_surely_told_is_not_in_doubt() -> None:
    assert not doubted(face(0.99))
    assert not doubted(face(0.01))


@pytest.mark.parametrize(
    "one",
    [
        face(0.9),
        face(0.12),
        face(box=Box(190, 190, 20, 20)),
        face(p_nobody=0.3),
    ],
    ids=["hardly male", "hardly female", "small", "perhaps nobody"],
)
def test_a_face_that_is_not_surely_told_is_in_doubt(one: Face) -> None:
    assert doubted(one)


def test_a_tilted_face_is_in_doubt() -> None:
    assert doubted(face(), tilt=-40.0)
    assert not doubted(face(), tilt=-10.0)


def test_a_face_beside_it_counts_only_where_it_is_as_prominent() -> None:
    unsure_rival = face(0.6, Box(20, 150, 100, 100))
    unsure_bystander = face(0.6, Box(10, 10, 30, 30))
    assert doubted(face(), unsure_rival)
    assert not doubted(face(), unsure_bystander)


def test_a_photograph_without_a_face_is_in_doubt() -> None:
    assert in_doubt(Scores(0.99, 0), [], SIDE, SIDE)


class Fixed:
    """A model that answers what it was told, by the first pixel of a photograph."""

    depth = 1

    def __init__(self, answers: Sequence[Scores]) -> None:
        self.answers = answers
        self.asked: list[int] = []

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        scores = [self.answers[photo[0, 0, 0]] for photo in photos]
        located = [[Detection(each.box, each.score) for each in one.faces] for one in scores]
        return lambda: Result(scores, located, 0)

    def judge_faces(
        self, photos: Sequence[Pixels], located: Sequence[Sequence[Detection]]
    ) -> tuple[list[Scores], int]:
        self.asked += [int(photo[0, 0, 0]) for photo in photos]
        assert len(located) == len(photos)
        return [self.answers[photo[0, 0, 0]] for photo in photos], 1


def photographs(*numbers: int) -> list[Pixels]:
    return [np.full((SIDE, SIDE, 3), number, np.uint8) for number in numbers]


def test_the_second_model_answers_for_what_is_in_doubt_and_for_nothing_else() -> None:
    sure, unsure = Scores(None, 1, (face(0.99),)), Scores(None, 1, (face(0.7),))
    first = Fixed([sure, unsure, sure, unsure])
    second = Fixed([Scores(None, 1, (face(0.2),))] * 4)
    cascade = CascadePredictor(first, second)  # type: ignore[arg-type] - it only judges faces
    result = cascade.begin(photographs(0, 1, 2, 3))()
    assert second.asked == [1, 3]
    assert [each.model for each in result.scores] == [0, 1, 0, 1]
    assert [each.faces[0].p_male for each in result.scores] == [0.99, 0.2, 0.99, 0.2]
    assert result.splits == 1


def test_where_nothing_is_in_doubt_the_second_model_is_not_asked() -> None:
    first, second = Fixed([Scores(None, 1, (face(0.99),))]), Fixed([])
    cascade = CascadePredictor(first, second)  # type: ignore[arg-type]
    assert [each.model for each in cascade.begin(photographs(0, 0))().scores] == [0, 0]
    assert second.asked == []
