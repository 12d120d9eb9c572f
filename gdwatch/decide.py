"""From what the networks say to the answer: pure, and the only place for it."""

from gdwatch.values import Decision, Label, Refusal, Scores


def decide(scores: Scores, min_confidence: float) -> Decision:
    """Answer for a photograph that the networks have seen."""
    label: Label = "male" if scores.p_male >= 0.5 else "female"
    confidence = max(scores.p_male, 1 - scores.p_male)
    sure = confidence >= min_confidence
    return Decision(
        outcome=label if sure else "unsure",
        reason=None if sure else "low_confidence",
        label=label,
        p_male=scores.p_male,
        confidence=confidence,
        faces=scores.faces,
        box=scores.box,
    )


def refuse(refusal: Refusal) -> Decision:
    """Answer for a file that is no readable photograph."""
    return Decision(outcome="rejected", reason=refusal.reason)


def rules(crop: str, several_faces: str, min_confidence: float) -> str:
    """Name the settings that shaped a decision, as they stand in the ledger."""
    return f"crop={crop} several_faces={several_faces} min_confidence={min_confidence:g}"
