"""Whose weights took part in a model, and under which terms they come."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from gdwatch.inference.model_file import PACKAGED
from train.fitting.checkpoint import Basis
from train.published.weights import OF_TEACHING, PUBLISHED, SHIPPED_TERMS

_HOW = {
    "start": "training began with them: they are in the file, changed",
    "teacher": "its answers were learnt; not in the file",
    "tutor": "answered for each changed picture; not in the file",
}
_OWN = "those that its own model card names"
_ANSWERS = f"{_OWN}; for answers that `gdtrain teach` has written: {OF_TEACHING}"


def took_part(basis: Basis) -> list[dict[str, str]]:
    """What took part in a run besides its pictures, for the model file: how, name and sha256.

    name: of the file, empty where it is not known.
    """
    given = (
        ("start", basis.start_name, basis.start),
        ("teacher", "", basis.teacher),
        ("tutor", "", basis.tutor),
    )
    return [{"how": how, "name": name, "sha256": sha256} for how, name, sha256 in given if sha256]


def table(weights: Iterable[Mapping[str, str]]) -> str:
    """What `took_part` has told, as a Markdown table with the terms; nothing where there is none.

    weights: of all runs that the model is made of.
    """
    shipped = {_sha256(file): file.stem for file in sorted(PACKAGED.glob("*.safetensors"))}
    rows = dict.fromkeys(_row(each, shipped) for each in weights)
    if not rows:
        return "Training began with random weights, and no other model took part."
    return "\n".join(("| weights | what for | terms |", "| --- | --- | --- |", *rows))


def _row(each: Mapping[str, str], shipped: Mapping[str, str]) -> str:
    how, name, sha256 = each["how"], each["name"], each["sha256"]
    if sha256 in shipped:
        shown, terms = f"`{shipped[sha256]}` of gdwatch", SHIPPED_TERMS[shipped[sha256]]
    else:
        shown = f"`{name}`" if name else f"SHA-256 `{sha256}`"
        own = _OWN if how == "start" else _ANSWERS
        terms = next((weights.terms for weights in PUBLISHED if weights.file == name), own)
    return f"| {shown} | {_HOW[how]} | {terms} |"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
