"""Learn the last layer from labelled faces, and compare it with the old one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from gdwatch.errors import GdwatchError
from train.data.near_duplicates import connected_groups, inseparable_groups, near_pairs
from train.data.prepared_set import Indices, Prepared, load_hashes
from train.metrics import Bools, Floats, choose_threshold
from train.tuning.examples import Seen
from train.tuning.held_out import Lesson, choose, held_out_logits
from train.tuning.labels import LEAST
from train.tuning.rehearsal import Rehearsal
from train.tuning.verdict import Compared, compare

_ACCURACY = 0.987  # of the accepted pictures, as `gdtrain calibrate` wants it


@dataclass(frozen=True, slots=True)
class Usable:
    """The faces that are learnt from.

    places: (N,), of `Seen.rows`; group: (N,), pictures that are judged together.
    contradicting: paths of pictures that stand in both classes, or whose copies do.
    """

    places: Indices
    group: Indices
    contradicting: Sequence[str]


@dataclass(frozen=True, slots=True)
class Learnt:
    """New weights, and how they compare.

    weights: (D,). changed: whether they differ from the old ones.
    old_logits, new_logits: (N,), of `Usable.places`; the new ones of pictures not learnt from.
    min_confidence: the new model's. own, rehearsal: see `compare`.
    """

    weights: Floats
    changed: bool
    old_logits: Floats
    new_logits: Floats
    male: Bools
    min_confidence: float
    own: Compared
    rehearsal: Compared


def usable(prepared: Prepared, faces: Seen, kept: set[str], where: str) -> Usable:
    """Which faces can be learnt from.

    kept: paths that are not left out. where: names the source in errors.

    Raises GdwatchError where too few are left.
    """
    pairs = near_pairs(load_hashes(prepared.folder))
    male = prepared.is_male()
    photograph = connected_groups(len(male), pairs)
    women, men = (set(photograph[male == value].tolist()) for value in (False, True))
    both = women & men
    group = inseparable_groups([row.identity for row in prepared.rows], pairs)
    paths = [row.path for row in prepared.rows]
    places = np.array(
        [
            place
            for place, row in enumerate(faces.rows.tolist())
            if int(photograph[row]) not in both and paths[row] in kept
        ],
        dtype=np.int64,
    )
    contradicting = [path for path, of in zip(paths, photograph.tolist(), strict=True)
                     if of in both]  # fmt: skip
    # Copies of a photograph, and pictures of one person, are no further evidence.
    counts = [len(set(group[faces.rows[places]][male[faces.rows[places]] == value].tolist()))
              for value in (False, True)]  # fmt: skip
    if min(counts) < LEAST:
        raise GdwatchError(
            f"{where}: {counts[0]} different faces of female and {counts[1]} of male can be learnt "
            f"from, of {len(paths)} pictures ({len(paths) - len(faces.rows)} without a face, "
            f"{len(contradicting)} with both labels)",
            f"label at least {LEAST} different ones of each that show a face",
        )
    return Usable(places, group[faces.rows[places]], contradicting)


def learn(
    prepared: Prepared,
    faces: Seen,
    chosen: Usable,
    rehearsal: Rehearsal,
    before: tuple[Floats, float],
) -> Learnt:
    """Learn from the usable faces. before: the old weights, and the old min_confidence."""
    old, min_confidence = before
    examples = faces.examples.select(chosen.places)
    male = prepared.is_male()[faces.rows[chosen.places]]
    lesson = Lesson(examples, male, chosen.group, rehearsal.rehearsed, old)
    new_logits = held_out_logits(lesson)
    strength = choose(lesson)
    weights = lesson.fit(strength)
    old_logits = examples.logits(old)
    old_judged, new_judged = (rehearsal.judges.logits(each) for each in (old, weights))
    return Learnt(
        weights=weights,
        changed=strength is not None,
        old_logits=old_logits,
        new_logits=new_logits,
        male=male,
        min_confidence=_min_confidence(
            (old_logits, new_logits, male), (old_judged, new_judged, rehearsal.male), min_confidence
        ),
        own=compare((old_logits > 0) == male, (new_logits > 0) == male),
        rehearsal=compare((old_judged > 0) == rehearsal.male, (new_judged > 0) == rehearsal.male),
    )


def _min_confidence(
    own: tuple[Floats, Floats, Bools], rehearsal: tuple[Floats, Floats, Bools], before: float
) -> float:
    """The old min_confidence, moved as far as the pictures held out and the rehearsal say.

    Each counts half. own, rehearsal: old and new logits, and labels.
    """
    male = np.concatenate((own[2], rehearsal[2]))
    counts = len(own[2]), len(rehearsal[2])
    weights = np.concatenate([np.full(each, 0.5 / each) for each in counts])
    old, new = (
        choose_threshold(
            expit(np.concatenate((own[which], rehearsal[which]))), male, _ACCURACY, weights=weights
        ).min_confidence
        for which in (0, 1)
    )
    return float(np.clip(before + new - old, 0.5, 0.999))
