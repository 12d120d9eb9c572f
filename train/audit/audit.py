"""Find what is wrong with prepared pictures; a person decides what is done about it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import get_args

import numpy as np
from rich.console import Console
from rich.progress import track

from gdwatch.errors import GdwatchError
from train.atomic_files import publish_rows
from train.audit import suspects
from train.audit.copies import copies
from train.audit.faceless import best_scores
from train.audit.features import features
from train.audit.suspects import FindingKind, Suspect
from train.data.near_duplicates import inseparable_groups
from train.data.prepared_set import CLEAN, COLUMNS, Indices, Prepared, load_hashes

AUDIT = "audit.csv"
EXCLUDED = "excluded.csv"
APPLIED: tuple[FindingKind, ...] = ("duplicate", "label", "uninformative", "unknowable")


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of audit.csv.

    score: 0 to 1, higher is surer.
    related: path of the picture that this one is a copy of, or empty.
    """

    path: str
    trouble: FindingKind
    score: float
    evidence: str
    related: str


_COLUMNS = [field.name for field in fields(Finding)]


def audit(prepared: Prepared, min_age: int) -> list[Finding]:
    """Find what is wrong with a prepared folder, the surest first, and write audit.csv.

    min_age: in years; labels of persons known to be younger are not doubted.

    Raises GdwatchError where one class is missing.
    """
    found = find(prepared, min_age)
    rows = prepared.rows
    findings = [
        Finding(
            path=rows[suspect.row].path,
            trouble=suspect.trouble,
            score=round(suspect.score, 4),
            evidence=suspect.evidence,
            related="" if suspect.related is None else rows[suspect.related].path,
        )
        for suspect in sorted(found, key=lambda s: (s.trouble, -s.score, s.row))
    ]
    publish_rows(prepared.folder / AUDIT, _COLUMNS, findings)
    return findings


def find(prepared: Prepared, min_age: int) -> list[Suspect]:
    """Run every check of `suspects`; one that shows nothing is left out of all the others."""
    rows, male = prepared.rows, prepared.is_male()
    if len(np.unique(male)) < 2:
        raise GdwatchError(f"{prepared.folder}: pictures of one class alone", "prepare both")
    empty = _uninformative(prepared)
    embedded = features(prepared)
    scores, threshold = best_scores(prepared)
    sha256 = [row.sha256 for row in rows]
    pairs = copies(prepared, load_hashes(prepared.folder), embedded)
    without = {suspect.row for suspect in empty}
    pairs = pairs[[not without & set(pair) for pair in pairs.tolist()]]
    sizes = [row.width * row.height for row in rows]
    found = empty + suspects.duplicated(pairs, sizes, sha256, male)
    found += [each for each in suspects.faceless(scores, threshold) if each.row not in without]
    old_enough = [
        number
        for number, row in enumerate(rows)
        if number not in without and (row.age is None or row.age >= min_age)
    ]
    asked = np.array(old_enough, dtype=np.int64)
    groups = inseparable_groups([row.identity for row in rows], pairs)
    p_male = suspects.out_of_fold(embedded[asked], male[asked], groups[asked])
    for some in (
        suspects.mislabelled(p_male, male[asked]),
        suspects.unknowable(p_male),
        suspects.outliers(embedded[asked], male[asked]),
    ):
        found += [_renumbered(suspect, asked) for suspect in some]
    return found


def counts(findings: Sequence[Finding]) -> dict[FindingKind, int]:
    """How many findings there are of each kind; 0 for kinds without any."""
    return {
        trouble: sum(finding.trouble == trouble for finding in findings)
        for trouble in get_args(FindingKind)
    }


def apply(prepared: Prepared, findings: Sequence[Finding]) -> int:
    """Write manifest.clean.csv without the findings of the kinds APPLIED, and excluded.csv.

    Outliers stay: they are a hint for a person. So do pictures on which no face was found: nearly
    all of them show a face that is hard to find, and such faces are worth learning from.

    Returns how many pictures were excluded.
    """
    excluded = [finding for finding in findings if finding.trouble in APPLIED]
    paths = {finding.path for finding in excluded}
    kept = [row for row in prepared.rows if row.path not in paths]
    if len({row.label for row in kept}) < 2:
        raise GdwatchError(
            f"{prepared.folder}: without what is in trouble, pictures of one class alone are left",
            f"look at {AUDIT}; nothing was excluded",
        )
    publish_rows(prepared.folder / EXCLUDED, _COLUMNS, excluded)
    publish_rows(prepared.folder / CLEAN, COLUMNS, kept)
    return len(paths)


def _uninformative(prepared: Prepared) -> list[Suspect]:
    console = Console(stderr=True)
    found = []
    for row in track(
        range(len(prepared.rows)), "measuring", console=console, disable=not console.is_terminal
    ):
        shorter = min(prepared.rows[row].width, prepared.rows[row].height)
        answer = suspects.uninformative(prepared.pixels(np.array([row]))[0], shorter)
        if answer is not None:
            found.append(Suspect(row, "uninformative", *answer))
    return found


def _renumbered(suspect: Suspect, rows: Indices) -> Suspect:
    return replace(suspect, row=int(rows[suspect.row]))
