import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.inference.faces import prominence
from gdwatch.pipeline import decide
from gdwatch.pipeline.decide import Rules, SeveralFaces
from gdwatch.values import Box, Crop, Decision, Face, Header, Refusal, Scores

HEADER, SIZE = Header(400, 400, "JPEG"), (400, 400)


def rules(
    crop: Crop = "face", several_faces: SeveralFaces = "dominant", min_confidence: float = 0.9
) -> Rules:
    return Rules(crop, several_faces, min_confidence, min_face=20, min_sharpness=5)


def decided(scores: Scores, min_confidence: float) -> Decision:
    return decide.decide(scores, HEADER, SIZE, rules(min_confidence=min_confidence))


PROBABILITY = st.floats(0, 1)
THRESHOLD = st.floats(0.5, 1)


@given(PROBABILITY, THRESHOLD)
def test_the_label_is_the_likelier_class_and_the_confidence_its_probability(
    p_male: float, min_confidence: float
) -> None:
    decision = decided(Scores(p_male), min_confidence)
    assert decision.label == ("male" if p_male >= 0.5 else "female")
    assert decision.confidence == max(p_male, 1 - p_male)
    assert decision.p_male == p_male


@given(PROBABILITY, THRESHOLD)
def test_the_outcome_is_the_label_or_unsure_with_its_reason(
    p_male: float, min_confidence: float
) -> None:
    decision = decided(Scores(p_male), min_confidence)
    if decision.confidence is not None and decision.confidence >= min_confidence:
        assert (decision.outcome, decision.reason) == (decision.label, None)
    else:
        assert (decision.outcome, decision.reason) == ("unsure", "low_confidence")


@given(PROBABILITY, THRESHOLD, THRESHOLD)
def test_a_stricter_threshold_never_makes_an_answer_sure(
    p_male: float, one: float, other: float
) -> None:
    lax, strict = sorted((one, other))
    if decided(Scores(p_male), strict).outcome != "unsure":
        assert decided(Scores(p_male), lax).outcome != "unsure"


@given(PROBABILITY.filter(lambda p: p != 0.5 and 1 - p != 0.5))
def test_the_two_classes_are_treated_alike(p_male: float) -> None:
    one, other = decided(Scores(p_male), 0.8), decided(Scores(1 - p_male), 0.8)
    assert {one.label, other.label} == {"female", "male"}
    assert math.isclose(one.confidence or 0, other.confidence or 0)


def test_exactly_the_threshold_is_enough() -> None:
    assert decided(Scores(0.75), 0.75).outcome == "male"
    assert decided(Scores(0.25), 0.75).outcome == "female"
    assert decided(Scores(0.5), 0.5).outcome == "male"


def test_a_refusal_is_rejected_with_its_reason_and_no_label() -> None:
    decision = decide.refuse(Refusal("truncated", "cut"))
    assert (decision.outcome, decision.reason) == ("rejected", "truncated")
    assert (decision.label, decision.p_male, decision.confidence) == (None, None, None)


@pytest.mark.parametrize(("value", "text"), [(0.9, "0.9"), (0.875, "0.875"), (1.0, "1")])
def test_the_rules_are_one_text(value: float, text: str) -> None:
    common = f"several_faces=dominant min_confidence={text}"
    assert str(rules(min_confidence=value)) == f"crop=face {common} min_face=20 min_sharpness=5"
    # What has no say must not make a row look as if it were judged by other rules.
    assert str(rules(crop="whole", min_confidence=value)) == f"crop=whole {common}"


def face(p_male: float, x: float, size: float = 100, sharpness: float = 50) -> Face:
    return Face(Box(x, 100, size, size), 0.9, p_male, sharpness)


def test_a_face_answers_with_its_box_in_pixels_of_the_photograph() -> None:
    # The networks saw 300 x 300 of 600 x 900.
    scores = Scores(None, 1, (face(0.97, 100),))
    decision = decide.decide(scores, Header(600, 900, "JPEG"), (300, 300), rules())
    assert (decision.outcome, decision.faces) == ("male", 1)
    assert decision.box == Box(200, 300, 200, 300)


def test_without_a_face_the_whole_picture_has_a_label_and_the_outcome_is_unsure() -> None:
    decision = decided(Scores(0.99, 0), 0.9)
    assert (decision.outcome, decision.reason) == ("unsure", "no_face")
    assert (decision.label, decision.p_male, decision.faces) == ("male", 0.99, 0)
    assert decision.box is None


@pytest.mark.parametrize(
    ("rule", "sizes", "p_males", "reason"),
    [
        ("dominant", (100, 20), (0.99, 0.01), None),  # clearly larger
        ("dominant", (100, 90), (0.99, 0.01), "several_faces"),
        ("dominant", (100, 90), (0.99, 0.98), None),  # all agree
        ("agree", (100, 20), (0.99, 0.01), "several_faces"),
        ("agree", (100, 90, 80), (0.01, 0.02, 0.01), None),
        ("unsure", (100, 20), (0.99, 0.99), "several_faces"),
        ("unsure", (100,), (0.99,), None),
    ],
)
def test_several_faces(
    rule: SeveralFaces, sizes: tuple[float, ...], p_males: tuple[float, ...], reason: str | None
) -> None:
    faces = tuple(face(p, 100, size) for p, size in zip(p_males, sizes, strict=True))
    decision = decide.decide(
        Scores(None, len(faces), faces), HEADER, SIZE, rules(several_faces=rule)
    )
    assert decision.reason == reason
    assert decision.label == ("male" if p_males[0] > 0.5 else "female")
    assert decision.outcome == (decision.label if reason is None else "unsure")


def test_a_small_or_blurred_face_is_unsure() -> None:
    small = decided(Scores(None, 1, (face(0.99, 100, size=19),)), 0.9)
    assert (small.outcome, small.reason, small.label) == ("unsure", "small_face", "male")
    blurred = decided(Scores(None, 1, (face(0.99, 100, sharpness=4.9),)), 0.9)
    assert (blurred.outcome, blurred.reason, blurred.label) == ("unsure", "blurred", "male")


@given(st.floats(10, 400), st.floats(0, 390), st.floats(0, 390))
def test_of_two_faces_of_one_size_the_central_one_is_the_more_prominent(
    size: float, x: float, y: float
) -> None:
    middle = Box(200 - size / 2, 200 - size / 2, size, size)
    aside = Box(x, y, size, size)
    assert prominence(middle, 400, 400) >= prominence(aside, 400, 400)


# ------------------------------------------------------------------ nobody, and bodies


@given(PROBABILITY, PROBABILITY)
def test_a_confidence_is_at_least_that_of_a_coin(p_male: float, p_nobody: float) -> None:
    seen = Face(Box(100, 100, 90, 90), 0.9, p_male, 100.0, p_nobody)
    decision = decided(Scores(None, 1, (seen,)), 0.9)
    assert decision.confidence is not None
    assert 0.5 <= decision.confidence <= max(p_male, 1 - p_male)


def test_the_surer_it_is_nobody_the_nearer_the_confidence_is_to_a_coin_s() -> None:
    seen = Face(Box(100, 100, 90, 90), 0.9, 0.95, 100.0, p_nobody=0.2)
    decision = decided(Scores(None, 1, (seen,)), 0.9)
    assert decision.p_male == 0.95
    assert decision.confidence == pytest.approx(0.95 * 0.8 + 0.5 * 0.2)
    assert (decision.outcome, decision.reason) == ("unsure", "low_confidence")


@given(PROBABILITY, PROBABILITY)
def test_a_person_without_a_visible_face_is_unsure_unless_bodies_are_judged(
    p_male: float, p_nobody: float
) -> None:
    scores = Scores(p_male, 0, p_nobody=p_nobody)
    plain = decide.decide(scores, HEADER, SIZE, rules())
    assert (plain.outcome, plain.reason) == ("unsure", "no_face")
    assert plain.label == ("male" if p_male >= 0.5 else "female")
    bodies = dataclasses.replace(rules(), bodies=0.8)
    judged = decide.decide(scores, HEADER, SIZE, bodies)
    if judged.confidence is not None and judged.confidence >= 0.8:
        assert (judged.outcome, judged.reason) == (judged.label, None)
    else:
        assert (judged.outcome, judged.reason) == ("unsure", "no_face")


def test_the_rules_name_bodies_only_where_they_are_judged() -> None:
    assert "bodies" not in str(rules())
    assert str(dataclasses.replace(rules(), bodies=0.8)).endswith(" bodies=0.8")
