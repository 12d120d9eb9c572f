"""Select the pictures that a recipe trains on, and those for validation."""

import numpy as np

from train.data.crops import FACE
from train.data.prepared_set import Indices, Prepared
from train.data.sources import NOBODY
from train.fitting.recipe import Recipe
from train.metrics import Floats

_LEAST_SCORE = 0.35  # a face that the detector doubts more than that is not learnt


def pictures_of_an_epoch(prepared: Prepared, recipe: Recipe) -> Indices:
    """The labelled rows that are learnt, each once; see `times_shown`."""
    youngest = recipe.min_age if recipe.learn_age is None else recipe.learn_age
    rows = _of_the_recipe(prepared, recipe, prepared.select("train", youngest))
    if recipe.pictures is not None:
        by_hash = sorted(rows.tolist(), key=lambda row: prepared.rows[row].sha256)
        rows = np.sort(np.array(by_hash[: recipe.pictures], dtype=np.int64))
    return rows


def pictures_held_back(prepared: Prepared, recipe: Recipe) -> Indices:
    """The validation rows, by which the best epoch is chosen and calibrated."""
    return _of_the_recipe(prepared, recipe, prepared.select("val", recipe.min_age))


def others_of_an_epoch(prepared: Prepared, recipe: Recipe) -> Indices:
    """The rows of further faces that are learnt, by recipes that have a teacher."""
    return _further(prepared, recipe, prepared.others, "train") if recipe.teacher else _NONE


def nobody_of_an_epoch(prepared: Prepared, recipe: Recipe, split: str = "train") -> Indices:
    """The rows of crops without a face that are learnt, or held back.

    Surroundings without anybody are only on photographs without people.
    """
    if not recipe.nobody:
        return _NONE
    rows = _further(prepared, recipe, prepared.nobody, split)
    if recipe.crop == "surroundings":
        rows = np.array([r for r in rows if prepared.crop(r).label == NOBODY], np.int64)
    elif rows.size:
        rows = rows[[prepared.crop(row).size > 0 for row in rows.tolist()]]
    return rows


def times_shown(prepared: Prepared, rows: Indices, recipe: Recipe) -> Floats:
    """How often an epoch shows each of these rows, in the mean; (R,).

    rows: labelled ones and further faces by the recipe's `repeat`, the others by its `nobody`.
    """
    nobody = set(prepared.nobody.tolist())
    return np.array(
        [
            recipe.nobody if row in nobody else recipe.repeat.get(prepared.source(row), 1.0)
            for row in rows.tolist()
        ],
        dtype=np.float64,
    )


_NONE: Indices = np.array([], dtype=np.int64)


def _of_the_recipe(prepared: Prepared, recipe: Recipe, rows: Indices) -> Indices:
    """The rows of sources that the recipe does not keep out, and that show what it learns.

    A network that tells nobody does not learn a whole photograph as if it were a face.
    """
    needs_face = recipe.tells_nobody and prepared.view in ("face", "upright")
    return np.array(
        [
            row
            for row in rows.tolist()
            if prepared.rows[row].source not in recipe.without
            and not (needs_face and not _shows_face(prepared, row))
        ],
        np.int64,
    )


def _shows_face(prepared: Prepared, row: int) -> bool:
    crop = prepared.crop(row)
    return crop.kind == FACE and crop.score >= _LEAST_SCORE


def _further(prepared: Prepared, recipe: Recipe, rows: Indices, split: str) -> Indices:
    return np.array(
        [
            row
            for row in rows.tolist()
            if prepared.crop(row).split == split and prepared.source(row) not in recipe.without
        ],
        np.int64,
    )
