"""From scores to a decision: pure functions, and the only place where this is decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gdwatch.inference.coordinates import slot_to_photograph
from gdwatch.inference.faces import confidence, prominence
from gdwatch.values import Box, Crop, Decision, Face, Header, Label, Reason, Refusal, Scores

SeveralFaces = Literal["dominant", "agree", "unsure"]

_CLEARLY = 1.5  # a face this many times as prominent as another one outweighs it


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that shape a decision.

    min_confidence: 0.5 to 1.
    bodies: as min_confidence, for a person without a visible face; None: such a person is `unsure`.
    min_face: longer side of the smallest face that is judged, in pixels of the photograph.
    min_sharpness: of the face's crop, see `Face`.
    """

    crop: Crop
    several_faces: SeveralFaces
    min_confidence: float
    min_face: float
    min_sharpness: float
    bodies: float | None = None

    def __str__(self) -> str:
        """Return the rules as the text that the ledger stores."""
        text = (
            f"crop={self.crop} several_faces={self.several_faces} "
            f"min_confidence={self.min_confidence:g}"
        )
        if self.crop == "whole":  # no face is judged, so the others do not apply
            return text
        text += f" min_face={self.min_face:g} min_sharpness={self.min_sharpness:g}"
        return text if self.bodies is None else f"{text} bodies={self.bodies:g}"


def decide(scores: Scores, header: Header, size: tuple[int, int], rules: Rules) -> Decision:
    """Decide for a photograph from its scores.

    header: of the photograph; the decision's box is in its pixels.
    size: width and height of the picture in the slot; the boxes of `scores` are in its pixels.
    """
    if not scores.faces:
        assert scores.p_male is not None
        answer = _Answer(scores.p_male, scores.p_nobody)
        if scores.count != 0:  # no locator was run
            return _decision(answer, None, scores, None, rules.min_confidence)
        if rules.bodies is None:
            return _decision(answer, "no_face", scores, None, rules.min_confidence)
        doubt: Reason | None = "no_face" if answer.confidence < rules.bodies else None
        return _decision(answer, doubt, scores, None, rules.bodies)
    first = scores.faces[0]
    box = slot_to_photograph(first.box, size, (header.width, header.height))
    answer = _Answer(first.p_male, first.p_nobody)
    doubt = _doubt(scores, header, size, rules)
    return _decision(answer, doubt, scores, box, rules.min_confidence)


def refuse(refusal: Refusal) -> Decision:
    """Return the decision for a file that is not a readable photograph: `rejected`."""
    return Decision(outcome="rejected", reason=refusal.reason)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a model says of one face, or of the whole picture, see `Face`."""

    p_male: float
    p_nobody: float

    @property
    def confidence(self) -> float:
        """The probability of the label."""
        return confidence(self.p_male, self.p_nobody)


def _decision(
    answer: _Answer, doubt: Reason | None, scores: Scores, box: Box | None, least: float
) -> Decision:
    """Return the decision for an answer. least: the least confidence of one that is not unsure."""
    label = _label(answer.p_male)
    if doubt is None and answer.confidence < least:
        doubt = "low_confidence"
    return Decision(
        outcome="unsure" if doubt else label,
        reason=doubt,
        label=label,
        p_male=answer.p_male,
        confidence=answer.confidence,
        faces=scores.count,
        box=box,
    )


def _doubt(scores: Scores, header: Header, size: tuple[int, int], rules: Rules) -> Reason | None:
    """Return why the most prominent face cannot decide for the photograph; None if it can."""
    first = scores.faces[0]
    box = slot_to_photograph(first.box, size, (header.width, header.height))
    if _contradicted(scores.faces, size, rules.several_faces):
        return "several_faces"
    if max(box.width, box.height) < rules.min_face:
        return "small_face"
    if first.sharpness < rules.min_sharpness:
        return "blurred"
    return None


def _contradicted(faces: Sequence[Face], size: tuple[int, int], rule: SeveralFaces) -> bool:
    """Whether other faces contradict the most prominent one, by the rule for several faces."""
    if rule == "unsure":
        return len(faces) > 1
    rivals = faces[1:]
    if rule == "dominant":
        least = prominence(faces[0].box, *size) / _CLEARLY
        rivals = [face for face in rivals if prominence(face.box, *size) > least]
    return any(_label(face.p_male) != _label(faces[0].p_male) for face in rivals)


def _label(p_male: float) -> Label:
    return "male" if p_male >= 0.5 else "female"
