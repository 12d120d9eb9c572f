"""The name and the version that a model file says of itself."""

from datetime import datetime
from pathlib import Path

from gdwatch.errors import UsageError
from gdwatch.inference.model_file import CASCADES, PACKAGED

_MARKS = "_.+-"


def identity_of(
    file: Path, name: str | None, version: str | None, now: datetime
) -> tuple[str, str]:
    """The name and version of the model that will be written to `file`.

    name: as it was given; without one, that of the file. version: likewise; the day of `now`.

    Raises UsageError if one has a character that a model file does not take, or the file is named
    like a shipped model and no name was given: the ledger would show this model as that one.
    """
    found = name if name is not None else _of(file)
    if name is None and (found in CASCADES or (PACKAGED / f"{found}.safetensors").is_file()):
        raise UsageError(
            f"{file}: {found} is the name of a shipped model",
            "give yours another one with -o or --name",
        )
    chosen = (found, version if version is not None else f"{now:%Y.%m.%d}")
    for what, text in zip(("name", "version"), chosen, strict=True):
        if not text or not all(map(_is_allowed, text)):
            raise UsageError(
                f"{what} {text!r}", f"use letters, digits and {' '.join(_MARKS)} alone"
            )
    return chosen


def _of(file: Path) -> str:
    words = "".join(each if _is_allowed(each) else " " for each in file.stem).split()
    return "-".join(words) or "model"


def _is_allowed(character: str) -> bool:
    """Whether a model file takes it: what this takes, the pattern of `Details` does as well."""
    return character.isalpha() or character.isdecimal() or character in _MARKS
