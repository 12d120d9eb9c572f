"""Fit a shipped model to one's own photographs; steps that are done are kept."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from train.atomic_files import make_folder, publish
from train.audit import audit as audits
from train.audit import page as audit_page
from train.data import crops, prepared_set
from train.data.prepare import prepare_listed
from train.data.prepared_set import CLEAN, Indices, Prepared, View
from train.data.sources import MANIFEST
from train.detection import crop_faces
from train.detection.false_faces import Look
from train.detection.locator_run import load_looks
from train.fitting.judge import view_of
from train.fitting.named_model import open_model
from train.tuning import labels, rehearsal
from train.tuning.drift import Drift, drift
from train.tuning.examples import face_network, old_weights, seen
from train.tuning.labels import Labelled
from train.tuning.learnt import Learnt, Usable, learn, usable
from train.tuning.tuned_model import write
from train.tuning.verdict import Verdict, advice, judge

BASIS = "tune.json"
PREPARED = "prepared"
FACES = "faces-seen.npz"
RESULT = "result.json"
MODEL = "tuned.safetensors"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of it.

    unreadable, faceless: how many pictures could not be read, and had no face that was found.
    rows: (N,), of `prepared`, that were learnt from.
    findings: of the audit, by kind. left_out: how many pictures `--clean` has left out.
    file: the model; None where nothing was learnt.
    looked_back: on photographs of a ROOT that nobody has corrected.
    """

    labelled: Labelled
    prepared: Prepared
    unreadable: int
    faceless: int
    findings: dict[str, int]
    left_out: int
    usable: Usable
    rows: Indices
    learnt: Learnt
    verdict: Verdict
    file: Path | None
    looked_back: Drift | None


def tune(source: Path, out: Path, start: str, *, clean: bool, tell: Callable[[str], None]) -> Tuned:
    """Fit the last layer of a model to what is labelled, and compare it with the old one.

    start: `fast`, `accurate`, or a file that this has made of one of them. clean: leave out what
    the audit finds. tell: is told of each step.

    Raises GdwatchError; what was finished before is kept in `out`, and the next call goes on there.
    """
    labelled = labels.read(source)
    loaded = open_model(Path(start))
    network = face_network(loaded)
    if network is None:
        raise UsageError(
            f"model {start}: has no network of faces that can be tuned", "name fast or accurate"
        )
    known = rehearsal.find(loaded)
    _begin(out, labelled, loaded)
    prepared, unreadable = _prepare(labelled, out, start, loaded, tell)
    findings = _audit(prepared, clean=clean, tell=tell)
    kept = prepared_set.load_clean(prepared.folder) if clean else prepared
    faces = seen(loaded, prepared, out / FACES, "looking at faces")
    given = {entry.path for entry in labelled.entries if entry.split == "test"}
    paths = {row.path for row in kept.rows} - given
    chosen = usable(prepared, faces, paths, labelled.source)
    tell("learning")
    before = old_weights(network), loaded.details.min_confidence
    learnt = learn(prepared, faces, chosen, known, before)
    faceless = len(prepared.rows) - len(faces.rows)
    verdict = judge(learnt.own, learnt.rehearsal, loaded.details.name, changed=learnt.changed)
    if not verdict.is_recommended:
        more = advice(learnt.own, (learnt.new_logits > 0) == learnt.male, learnt.male, faceless)
        verdict = replace(verdict, help=more)
    file = write(loaded, learnt, out / MODEL) if learnt.changed else None
    looked_back = None
    if file is not None and labelled.uncorrected:
        tell("looking back at what nobody has corrected")
        looked_back = drift(loaded, model.load(model_file.read(file)), labelled.uncorrected)
    tuned = Tuned(labelled, prepared, unreadable, faceless, findings,
                  len(prepared.rows) - len(kept.rows), chosen,
                  faces.rows[chosen.places], learnt, verdict, file,
                  looked_back)  # fmt: skip
    with publish(out / RESULT) as aside:
        aside.write_text(json.dumps(result(tuned), indent=2), encoding="utf-8")
    return tuned


def result(tuned: Tuned) -> dict[str, Any]:
    """What is told, as JSON."""
    return {
        "verdict": asdict(tuned.verdict),
        "own": asdict(tuned.learnt.own),
        "rehearsal": asdict(tuned.learnt.rehearsal),
        "pictures": len(tuned.prepared.rows),
        "unreadable": tuned.unreadable,
        "faceless": tuned.faceless,
        "contradicting": list(tuned.usable.contradicting),
        "neither": tuned.labelled.neither,
        "findings": tuned.findings,
        "left_out": tuned.left_out,
        "looked_back": tuned.looked_back and asdict(tuned.looked_back),
        "model": tuned.file and tuned.file.name,
    }


def _begin(out: Path, labelled: Labelled, loaded: Model) -> None:
    """Make the folder of a run, or go on in it. Raises GdwatchError for one of something else."""
    digest = hashlib.sha256()
    for entry in labelled.entries:
        size = entry.place.size if entry.place else None
        digest.update(json.dumps([entry.path, entry.label, entry.identity, size]).encode())
    basis = {"labels_sha256": digest.hexdigest(), "start_sha256": loaded.sha256}
    file = out / BASIS
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) != basis:
            raise GdwatchError(
                f"{out}: made of other labels or of another model",
                "name another folder with --out, or remove this one",
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: there is something else in it", "name a new folder with --out")
    make_folder(out)
    with publish(file) as aside:
        aside.write_text(json.dumps(basis, indent=2), encoding="utf-8")


def _prepare(
    labelled: Labelled, out: Path, start: str, loaded: Model, tell: Callable[[str], None]
) -> tuple[Prepared, int]:
    """Decode the pictures and cut the faces out; returns how many could not be read, too."""
    folder = out / PREPARED
    if not (folder / MANIFEST).exists():
        tell("decoding")
        prepare_listed(labelled.entries, folder, labelled.source)
    prepared = prepared_set.load(folder)
    if not (folder / crops.TABLE).exists():
        tell("cutting faces out")
        views: list[View] = ["face"]
        if view_of(loaded.details) == "upright":
            views += ["upright", "surroundings"]
        looks = [Look(*each) for each in _looks(start)]
        crop_faces.cut(labelled.entries, folder, looks, views=views)
    return prepared, len(labelled.entries) - len(prepared.rows)


def _looks(start: str) -> Sequence[tuple[Any, int]]:
    return [(locator, described.input) for locator, described in load_looks(Path(start), None)]


def _audit(prepared: Prepared, *, clean: bool, tell: Callable[[str], None]) -> dict[str, int]:
    """Find what is wrong with the pictures, once; with `clean`, list what is left without it."""
    done = prepared.folder / RESULT
    if done.exists() and (not clean or (prepared.folder / CLEAN).exists()):
        counts: dict[str, int] = json.loads(done.read_text(encoding="utf-8"))
        return counts
    tell("looking for what is wrong in the pictures")
    findings = audits.audit(prepared, min_age=10)
    audit_page.write(prepared, findings)
    if clean:
        audits.apply(prepared, findings)
    counts = {str(kind): count for kind, count in audits.counts(findings).items()}
    with publish(done) as aside:
        aside.write_text(json.dumps(counts), encoding="utf-8")
    return counts
