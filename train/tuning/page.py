"""The page of a tuned model: the verdict, the numbers behind it, and what it still gets wrong."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from train import html_page
from train.metrics import Bools
from train.tuning.tune import Tuned

PAGE = "tune.html"
_SHOWN = 60  # pictures of each kind


def write(tuned: Tuned, out: Path) -> Path:
    """Write the page into the folder of the run; returns its path. Raises GdwatchError."""
    learnt = tuned.learnt
    old_right = (learnt.old_logits > 0) == learnt.male
    new_right = (learnt.new_logits > 0) == learnt.male
    html_page.write(
        out / PAGE,
        "tune.html",
        source=tuned.labelled.source,
        is_root=tuned.labelled.is_root,
        verdict=tuned.verdict,
        compared={
            "your pictures, held out in turn": learnt.own,
            "other sources": learnt.rehearsal,
        },
        pictures=len(tuned.prepared.rows),
        counts={
            "learnt from": learnt.own.pictures,
            "could not be read": tuned.unreadable,
            "without a face": tuned.faceless,
            "with both labels": len(tuned.usable.contradicting),
            "nobody can tell": tuned.labelled.neither,
            "left out by --clean": tuned.left_out,
        },
        findings={kind: count for kind, count in tuned.findings.items() if count},
        left_out=tuned.left_out,
        looked_back=tuned.looked_back,
        min_confidence=learnt.min_confidence,
        parts=[
            _part(tuned, "Right now, wrong before", ~old_right & new_right),
            _part(tuned, "Wrong now, right before", old_right & ~new_right),
            _part(tuned, "Wrong before and now", ~old_right & ~new_right),
        ],
    )
    return out / PAGE


def _part(tuned: Tuned, title: str, some: Bools) -> dict[str, Any]:
    """The surest answers first: some of them are the label's mistakes."""
    learnt, prepared = tuned.learnt, tuned.prepared.in_view("face")
    places = np.flatnonzero(some)
    order = places[np.argsort(-np.abs(learnt.new_logits[places]), kind="stable")]
    male = prepared.is_male()
    shown = []
    for place in order[:_SHOWN].tolist():
        row = int(tuned.rows[place])
        said = {
            when: f"{'male' if logit > 0 else 'female'} {100 * expit(abs(logit)):.0f} %"
            for when, logit in (
                ("before", learnt.old_logits[place]),
                ("now", learnt.new_logits[place]),
            )
        }
        shown.append(
            {
                "picture": html_page.thumbnail(prepared.pixels(np.array([row]))[0]),
                "label": "male" if male[row] else "female",
                "path": prepared.rows[row].path,
                **said,
            }
        )
    return {"title": title, "count": len(places), "shown": shown}
