"""The rules of a decision as columns: `results` has them as one text, and each in its own."""

from typing import TypedDict


class RuleColumns(TypedDict):
    """The rules in force; None: this one has no say, or is not known."""

    crop: str | None
    several_faces: str | None
    min_confidence: float | None
    min_face: float | None
    min_sharpness: float | None
    bodies: float | None


def columns_of(rules: str) -> RuleColumns:
    """Return the columns of rules in the text of `Serving`: `crop=face min_confidence=0.9`."""
    said = dict(part.split("=", 1) for part in rules.split() if "=" in part)

    def number(name: str) -> float | None:
        return float(said[name]) if name in said else None

    return {
        "crop": said.get("crop"),
        "several_faces": said.get("several_faces"),
        "min_confidence": number("min_confidence"),
        "min_face": number("min_face"),
        "min_sharpness": number("min_sharpness"),
        "bodies": number("bodies"),
    }
