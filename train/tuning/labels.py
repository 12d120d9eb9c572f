"""What a person says of photographs: labelled ones, or the corrections of a ROOT of gdwatch."""

import os
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from gdwatch.errors import GdwatchError
from gdwatch.files import escaping
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.opening import open_to_read
from gdwatch.ledger.tables import corrections, files
from gdwatch.root import root_id
from gdwatch.root.folders import STATE, Folders
from gdwatch.settings import load as load_settings
from train.data.sources import CLASSES, Entry, Place, entries

LEAST = 20  # of each class: with fewer, no difference can be told from chance
UNCORRECTED = "uncorrected"  # label of a photograph that nobody has corrected

_LABEL_WITH = "put more photographs into female/ and male/"
_CORRECT_WITH = "`gdwatch correct FILE female` also confirms an answer that is right"


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labelled photographs of a source, and the others of a ROOT.

    source: as it was named.
    entries: of the classes, each with its label.
    uncorrected: answered by a model and by nobody else; their answers are never labels.
    neither: how many nobody can tell, as a person said.
    is_root: whether the labels are corrections.
    """

    source: str
    entries: list[Entry]
    uncorrected: list[Entry]
    neither: int
    is_root: bool


def read(source: Path) -> Labelled:
    """List what is labelled: of class folders, a manifest, tars, or a ROOT with its ledger.

    Raises GdwatchError, also where the labels are too few, or of one class alone.
    """
    is_root = (source / STATE).is_dir()
    found = _of_root(source) if is_root else _of_photographs(source)
    _require_enough(found)
    return found


def _of_photographs(source: Path) -> Labelled:
    listed = [entry for entry in entries([source]) if entry.label in CLASSES]
    return Labelled(str(source), listed, uncorrected=[], neither=0, is_root=False)


def _of_root(root: Path) -> Labelled:
    """The last word of a person on each file, by a command or by moving it by hand."""
    settings = load_settings({"root": str(root)}, None).settings
    identity = root_id.read_id(Folders.of(settings))
    listed, uncorrected, neither = [], [], 0
    with closing(open_to_read(settings, identity)) as ledger:
        for path, outcome, label in _files(ledger):
            if label in CLASSES:
                listed.append(_entry(path, label, ledger.root))
            elif label == "neither":
                neither += 1
            elif label is None and outcome in (*CLASSES, "unsure"):
                uncorrected.append(_entry(path, UNCORRECTED, ledger.root))
    return Labelled(str(root), listed, uncorrected, neither, is_root=True)


def _files(ledger: Ledger) -> list[tuple[str, str, str | None]]:
    """Path, outcome and last correction of the files that lie in their answer folders."""
    last = (
        sa.select(corrections.c.file_id, sa.func.max(corrections.c.id).label("id"))
        .group_by(corrections.c.file_id)
        .subquery()
    )
    query = (
        sa.select(files.c.path, files.c.outcome, corrections.c.label)
        .outerjoin(last, last.c.file_id == files.c.id)
        .outerjoin(corrections, corrections.c.id == last.c.id)
        .where(files.c.root_id == ledger.root_id, files.c.state == "filed")
        .order_by(files.c.id)
    )
    with ledger.reading() as connection:
        return [(path, outcome, label) for path, outcome, label in connection.execute(query)]


def _entry(text: str, label: str, root: bytes) -> Entry:
    file = Path(os.fsdecode(escaping.absolute_path(text, root)))
    place = Place(file, 0, file.stat().st_size) if file.is_file() else None
    return Entry(text, label, "corrections", age=None, group="", identity="", split="", place=place)


def _require_enough(found: Labelled) -> None:
    """Raise GdwatchError unless there are LEAST of each class."""
    what, hint = ("corrections", _CORRECT_WITH) if found.is_root else ("pictures", _LABEL_WITH)
    if not found.entries:
        raise GdwatchError(f"{found.source}: no {what} of female or male", hint)
    counts = Counter(entry.label for entry in found.entries)
    for name, other in zip(CLASSES, reversed(CLASSES), strict=True):
        if not counts[name]:
            raise GdwatchError(
                f"{found.source}: all {counts[other]} {what} are of {other}, none of {name}", hint
            )
    if min(counts.values()) < LEAST:
        raise GdwatchError(
            f"{found.source}: {counts['female']} {what} of female and {counts['male']} of male, "
            f"too few to learn from",
            f"label at least {LEAST} of each; {hint}",
        )
