"""Reasons and verdicts in a reviewer's words."""

from collections.abc import Mapping

# By reason: a sentence that a person understands who has never read a manual.
SENTENCES: Mapping[str, str] = {
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

# By reason of a rejected file: what its owner can do, as docs/troubleshooting.md tells at length.
ADVICE: Mapping[str, str] = {
    "empty": "Drop it again: the copy was not finished.",
    "not_an_image": "Nothing is to be done: it is no photograph.",
    "unsupported_format": "Convert it, to JPEG for instance.",
    "truncated": "Drop a whole copy: the upload was cut.",
    "damaged": "Drop a sound copy, or open it and save it in another program.",
    "too_many_bytes": "Raise max_bytes, then judge it again.",
    "too_many_pixels": "Raise max_pixels and worker_memory_mb, then judge it again.",
    "decoder_crashed": "Raise worker_memory_mb and judge it again, or convert it.",
    "decoder_timeout": "Raise decode_timeout_s and judge it again, or convert it.",
    "duplicate": "Nothing is to be done; judging it again files it all the same.",
    "by_hand": "Undo that, or judge it again.",
    "unreadable": "Mend its permissions, or the disk.",
}


def advice_of(reason: str | None) -> str:
    """Return what can be done about a reason; nothing where there is no advice."""
    return "" if reason is None else ADVICE.get(reason, "")


def sentence_of(reason: str | None) -> str:
    """Return the sentence for a reason; nothing where there is no reason."""
    return "" if reason is None else SENTENCES.get(reason, reason)
