"""Let teachers answer for faces that they have not learnt from.

One teacher, a perceptron, sees the face; another, a logistic regression, its surroundings; a third
one puts both together. They are trained by cross-validation: none of a fold's teachers answers for
a photograph that it has learnt from, nor for another one of the same person or the same photograph.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from gdwatch.errors import GdwatchError
from train.data.near_duplicates import inseparable_groups, near_pairs
from train.data.prepared_set import Indices, Prepared, load, load_hashes
from train.fitting.recipe import Recipe
from train.fitting.selection import pictures_of_an_epoch
from train.metrics import Bools, Floats
from train.teachers import perceptron
from train.teachers import surroundings as read_out
from train.teachers.embed import Embedded, Half
from train.teachers.fusion import Fusion
from train.teachers.networks import Embedding

_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Answers:
    """What teachers say of F faces: float64 (F,) each, logits of `male`."""

    face: Floats
    surroundings: Floats
    fused: Floats


@dataclass(frozen=True, slots=True)
class _Fold:
    """What one fold's teachers learn from, and what they answer for: the numbers of faces."""

    learnt: Indices
    asked: Indices


def teach(prepared: Prepared, embedded: Embedded, recipe: Recipe) -> Answers:
    """Train teachers on the pictures that a recipe trains on, and let them answer for all faces.

    prepared: with the labels, perhaps cleaned.

    They learn the main faces of the recipe's pictures only, so that no label that is held back
    leaks into the answers. A face is answered by the mean of the folds that may answer: of one,
    where they learn from its photograph, and of all where they do not.

    The fusion learns from answers out of fold. Their teachers have seen labels of its own fold,
    but it has too few weights to make something of that.

    Raises GdwatchError where there are too few faces.
    """
    rows = {row.path: number for number, row in enumerate(prepared.rows)}
    row_of = np.array([rows.get(seen.path, -1) for seen in embedded.seen], dtype=np.int64)
    is_main = np.array([seen.main for seen in embedded.seen], dtype=np.bool_)
    learnt = np.flatnonzero(is_main & np.isin(row_of, pictures_of_an_epoch(prepared, recipe)))
    male = np.zeros(len(row_of), np.bool_)
    male[learnt] = prepared.is_male()[row_of[learnt]]
    folds = _folds(learnt, male, _groups(prepared, embedded))
    face, surroundings = np.zeros(len(row_of)), np.zeros(len(row_of))
    for fold in folds:
        taught = male[fold.learnt]
        known, asked = _values(embedded.face, fold)
        face[fold.asked] += perceptron.train_and_predict(known, taught, asked, recipe.seed)
        known, asked = _values(embedded.surroundings, fold)
        surroundings[fold.asked] += read_out.train_and_predict(known, taught, asked)
    times = _times(folds, len(row_of))
    both = np.stack((face / times, surroundings / times), 1)
    sizes = np.array([seen.size for seen in embedded.seen])
    fused = np.zeros(len(row_of))
    for fold in folds:
        fusion = Fusion(both[fold.learnt], sizes[fold.learnt], male[fold.learnt])
        fused[fold.asked] += fusion.logits(both[fold.asked], sizes[fold.asked])
    return Answers(both[:, 0], both[:, 1], fused / times)


def _groups(prepared: Prepared, embedded: Embedded) -> Indices:
    """The group of each face: those of one person or one photograph, prepared or not."""
    whole = load(prepared.folder)
    groups = inseparable_groups(
        [row.identity for row in whole.rows], near_pairs(load_hashes(prepared.folder))
    )
    known = {row.path: int(group) for row, group in zip(whole.rows, groups, strict=True)}
    for seen in embedded.seen:
        known.setdefault(seen.path, len(known))  # groups are numbered from 0, so it is a new one
    return np.array([known[seen.path] for seen in embedded.seen], dtype=np.int64)


def _folds(learnt: Indices, male: Bools, groups: Indices) -> list[_Fold]:
    fewest = min(len(np.unique(groups[learnt[male[learnt] == sex]])) for sex in (False, True))
    if fewest < _FOLDS:
        raise GdwatchError("too few different faces of one class", "detect and prepare more")
    splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    return [
        _Fold(learnt[there], np.flatnonzero(~np.isin(groups, groups[learnt[there]])))
        for there, _ in splitter.split(learnt, male[learnt], groups[learnt])
    ]


def _times(folds: list[_Fold], faces: int) -> Floats:
    """By how many folds each face is answered."""
    asked = np.concatenate([fold.asked for fold in folds])
    return np.bincount(asked, minlength=faces).astype(np.float64)


def _values(embedded: Half, fold: _Fold) -> tuple[Embedding, Embedding]:
    return embedded[fold.learnt].astype(np.float32), embedded[fold.asked].astype(np.float32)
