"""Which of the manifests of a prepared folder a model is judged by."""

from collections.abc import Sequence
from pathlib import Path

from gdwatch.inference.model_file import Details
from train.data import prepared_set
from train.data.prepared_set import CLEAN, Prepared
from train.fitting.judge import view_of


def open_judged(folder: Path, models: Sequence[Details], *, clean: bool | None) -> Prepared:
    """Open a prepared folder in the view of the first model.

    clean: whether as `audit --apply` has left it; None: if one of the models has learnt from that.

    Raises GdwatchError, also where the view was not cut out.
    """
    view = view_of(models[0])
    if clean is None and (folder / CLEAN).is_file():
        left = prepared_set.load_clean(folder, view)
        if any(_has_learnt_from(details, left) for details in models):
            return left
    return prepared_set.load_clean(folder, view) if clean else prepared_set.load(folder, view)


def described(prepared: Prepared, details: Details) -> str:
    """The manifest's name, and whether it is the one that the model has learnt from."""
    learnt = _has_learnt_from(details, prepared)
    relation = "whose training part it learnt from" if learnt else "it learnt from another set"
    return f"{prepared.manifest.name}, {relation}"


def _has_learnt_from(details: Details, prepared: Prepared) -> bool:
    # The digest is of the crops as well, and the same in all views that have them.
    seen = prepared.in_view(view_of(details))
    return details.trained_on.get("manifest_sha256") == seen.digest
