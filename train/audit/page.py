"""The page of an audit: thumbnails of what was found, with the reasons."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from train import html_page
from train.audit.audit import APPLIED, Finding, counts
from train.audit.suspects import FindingKind
from train.data.prepared_set import Prepared

PAGE = "audit.html"
_SHOWN = 120  # of each kind: a page of thousands is slow, and nobody looks at them

_MEANING: dict[FindingKind, str] = {
    "duplicate": "Shows the photograph beside it, by its bytes, or by perceptual hash and "
    "overlap. The largest one of each group is kept.",
    "label": "A classifier that has not learnt from the picture is sure of the other class "
    "(confident learning).",
    "uninformative": "Tiny, flat, blurred, or noise: nothing can be learnt from it.",
    "unknowable": "A classifier that has not learnt from the picture cannot tell at all. It may "
    "be a hard picture that is right, or one that nobody can tell.",
    "no face": "The shipped locator finds nobody: a face that is hard to find, or none.",
    "outlier": "Lies in a cluster that is nearly all of the other label: worth a look.",
}


def write(prepared: Prepared, findings: Sequence[Finding]) -> None:
    """Write audit.html into the prepared folder. Raises GdwatchError."""
    number = {row.path: place for place, row in enumerate(prepared.rows)}

    def thumbnail(path: str) -> str:
        return html_page.thumbnail(prepared.pixels(np.array([number[path]]))[0])

    def item(finding: Finding) -> dict[str, str]:
        return {
            "picture": thumbnail(finding.path),
            "related": thumbnail(finding.related) if finding.related else "",
            "evidence": finding.evidence,
            "path": finding.path,
            "related_path": finding.related,
        }

    parts: list[dict[str, Any]] = []
    for trouble, count in counts(findings).items():
        of_this = [finding for finding in findings if finding.trouble == trouble]
        parts.append(
            {
                "trouble": trouble,
                "count": count,
                "meaning": _MEANING[trouble],
                "applied": trouble in APPLIED,
                "shown": [item(finding) for finding in of_this[:_SHOWN]],
            }
        )
    folder = prepared.folder.resolve().name
    content = {"folder": folder, "pictures": len(prepared.rows), "parts": parts}
    html_page.write(prepared.folder / PAGE, "audit.html", **content)
