import pytest

from gdwatch.inference.faces import Detection, Judgement, most_prominent, to_scores
from gdwatch.values import Box, Face, Scores


def found(x: float, y: float, side: float) -> Detection:
    return Detection(Box(x, y, side, side), 0.9)


def test_the_most_prominent_faces_come_first_and_the_least_are_left_out() -> None:
    sides = [10, 70, 30, 60, 20, 50, 40]
    faces = most_prominent([found(80 - s / 2, 80 - s / 2, s) for s in sides], 160, 160)
    assert [face.box.width for face in faces] == [70, 60, 50, 40, 30]


def test_each_photograph_gets_what_was_said_of_its_own_faces() -> None:
    one, two = found(0, 0, 5), found(9, 9, 5)
    judged = [Judgement(each / 10, 0.0, 10.0 + each) for each in range(1, 5)]
    scores = to_scores([1, 0, 7], [[one], [], [two, one]], judged)
    assert scores == [
        Scores(None, 1, (Face(one.box, 0.9, 0.1, 11.0),)),
        Scores(0.2, 0),
        Scores(None, 7, (Face(two.box, 0.9, 0.3, 13.0), Face(one.box, 0.9, 0.4, 14.0))),
    ]


def test_every_photograph_is_scored() -> None:
    with pytest.raises(ValueError, match="shorter"):
        to_scores([0, 0], [[]], [Judgement(0.5, 0.0, 1.0)])


def test_what_the_classifier_takes_for_nobody_is_no_face() -> None:
    face, knee = found(0, 0, 5), found(9, 9, 5)
    judged = [Judgement(0.9, 0.7, 1.0), Judgement(0.2, 0.1, 2.0), Judgement(0.8, 0.6, 3.0)]
    scores = to_scores([3, 1], [[knee, face], [knee]], judged)
    assert scores == [
        Scores(None, 2, (Face(face.box, 0.9, 0.2, 2.0, 0.1),)),
        Scores(0.8, 0, p_nobody=0.6),
    ]
