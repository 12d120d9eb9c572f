"""Select the pictures that a recipe trains on, and those for validation."""

import numpy as np

from train.data.prepared_set import Indices, Prepared
from train.fitting.recipe import Recipe


def pictures_of_an_epoch(prepared: Prepared, recipe: Recipe) -> Indices:
    """The rows of an epoch, those of small sources repeated."""
    youngest = recipe.min_age if recipe.learn_age is None else recipe.learn_age
    rows = _without_sources_kept_out(prepared, recipe, prepared.select("train", youngest))
    if recipe.pictures is not None:
        by_hash = sorted(rows.tolist(), key=lambda row: prepared.rows[row].sha256)
        rows = np.sort(np.array(by_hash[: recipe.pictures], dtype=np.int64))
    times = [recipe.repeat.get(prepared.rows[row].source, 1) for row in rows]
    return np.repeat(rows, times)


def pictures_held_back(prepared: Prepared, recipe: Recipe) -> Indices:
    """The validation rows, by which the best epoch is chosen and calibrated."""
    return _without_sources_kept_out(prepared, recipe, prepared.select("val", recipe.min_age))


def _without_sources_kept_out(prepared: Prepared, recipe: Recipe, rows: Indices) -> Indices:
    """The rows of other sources than those that the recipe keeps out."""
    return np.array(
        [row for row in rows.tolist() if prepared.rows[row].source not in recipe.without], np.int64
    )
