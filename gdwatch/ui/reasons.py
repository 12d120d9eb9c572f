"""Reasons and verdicts in a reviewer's words."""

from collections.abc import Mapping

from gdwatch.values import Reason

# By reason: a sentence that a person understands who has never read a manual.
SENTENCES: Mapping[Reason, str] = {
    "low_confidence": "The model is not sure.",
    "no_face": "No face was found.",
    "several_faces": "Several faces were found.",
    "small_face": "The face is very small.",
    "blurred": "The face is blurred.",
    "changed_late": "The file was changed after it had been judged.",
    "empty": "The file is empty.",
    "not_an_image": "The file is not a picture.",
    "unsupported_format": "The picture is of a format that is not read.",
    "truncated": "The file ends before its picture does.",
    "damaged": "The picture is damaged.",
    "too_many_bytes": "The file is larger than is allowed.",
    "too_many_pixels": "The picture has more pixels than are allowed.",
    "decoder_crashed": "The picture broke the program that decodes.",
    "decoder_timeout": "The picture takes too long to decode.",
    "duplicate": "The same photograph was filed before.",
    "by_hand": "A person has put it here.",
    "unreadable": "The file could not be read.",
}


def sentence_of(reason: str | None) -> str:
    """Return the sentence for a reason; nothing where there is no reason."""
    return "" if reason is None else {**SENTENCES}.get(reason, reason)  # type: ignore[call-overload]
