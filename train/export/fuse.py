"""Fuse a network for the face and one for its surroundings into a model with two inputs.

Both are trained on their own. The few numbers that put their answers together are fitted by
logistic regression on the split `val`, which neither has learnt from. It has no intercept, so that
where both are undecided, so is the model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Network
from gdwatch.networks.classifier import Classifier
from gdwatch.networks.two_inputs import TwoInputClassifier, size_in_doublings
from train.data.crops import FACE, WHOLE
from train.data.prepared_set import Indices, Prepared
from train.data.sources import NOBODY
from train.evaluation.evaluate import evaluate
from train.export.export import (
    Exported,
    best_network,
    details_of,
    folded,
    open_locators,
    with_calibration,
    with_locators,
    write,
)
from train.export.provenance import took_part
from train.fitting import checkpoint
from train.fitting.checkpoint import Run
from train.fitting.fit import prepared_of
from train.fitting.predict import answers
from train.fitting.selection import pictures_held_back
from train.metrics import Bools, Floats, choose_threshold, fit_temperature, probabilities

_LOOSE = 1e3  # inverse of the regularisation: little of it, as there are few numbers to fit
_FEWEST = 20  # pictures of each class, to fit a number by
# The surroundings of a larger face, in pixels, told nothing more: see RESULTS.md.
_ALONE_FROM = 80.0


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two networks, after its best epoch, and what it sees of the pictures."""

    run: Run
    network: Classifier
    prepared: Prepared

    def answers(self, rows: Indices) -> Floats:
        """The logits of `male` and of nobody, (R, 2)."""
        return answers(self.network, self.prepared, rows, self.run.basis.recipe.input)


@dataclass(frozen=True, slots=True)
class Fusion:
    """The numbers of `TwoInputClassifier` that put both answers together.

    male: (5,). nobody: (3,). alone: (3,), of faces that are judged by themselves.
    """

    male: Floats
    nobody: Floats
    alone: Floats


def fuse(
    face_run: Path,
    surroundings_run: Path,
    file: Path,
    named: tuple[str, str],
    accuracy: float,
    locators: tuple[Path | None, Path | None],
) -> Exported:
    """Write the best epochs of two runs as one model file, and the card beside it.

    face_run: of a pooled network that tells nobody. surroundings_run: of its surroundings.
    named: name and version. accuracy: wanted of the accepted pictures of the split `val`.
    locators: of both looks, as for `export`.

    Raises GdwatchError.
    """
    face, around = _open(face_run), _open(surroundings_run)
    _require_pair(face, around, f"{face_run} and {surroundings_run}")
    recipe, prepared = face.run.basis.recipe, face.prepared
    classifier, described = _two_inputs(face, around)
    fusion = fit(face, around)
    _set(classifier, fusion)
    held_back = pictures_held_back(prepared, recipe)
    male = prepared.is_male()
    said = _male(classifier, face, around, held_back)
    temperature = fit_temperature(said, male[held_back])
    threshold = choose_threshold(probabilities(said, temperature), male[held_back], accuracy)
    details = details_of(face.run, prepared, named, described)
    details = with_calibration(details, temperature, threshold)
    both = {**details.recipe, "surroundings": around.run.basis.recipe.model_dump(mode="json")}
    weights = details.trained_on["weights"] + took_part(around.run.basis)
    told = {"recipe": both, "trained_on": {**details.trained_on, "weights": weights}}
    bare = Model(None, classifier, details.model_copy(update=told), "")
    found = with_locators(bare, open_locators(face.run, *locators))
    # Only now, when all is chosen, is the test split looked at.
    evaluation = evaluate(found, prepared, "test", recipe.min_age)
    return write(found, file, threshold, evaluation)


def fit(face: Half, around: Half) -> Fusion:
    """Fit the numbers of the fusion by the split `val`.

    A number that there are too few pictures for stays as an untrained network has it.
    """
    prepared = face.prepared
    is_male = prepared.is_male()
    rows = prepared.select("val", face.run.basis.recipe.min_age)
    kept = face.run.basis.recipe.without
    rows = rows[[prepared.source(row) not in kept for row in rows.tolist()]]
    kinds = np.array([prepared.crop(row).kind for row in rows.tolist()])
    seen, unseen = rows[kinds == FACE], rows[kinds == WHOLE]
    of_face, of_around = face.answers(seen), around.answers(seen)
    sizes = _sizes(prepared, seen)
    near = sizes < _ALONE_FROM
    size = size_in_doublings(torch.from_numpy(sizes)).numpy()
    told = [of_face[:, 0], size * of_face[:, 0], of_around[:, 0], size * of_around[:, 0]]
    # Most faces are large; the few small ones, which this is for, weigh as much in all.
    both = _fitted(np.stack(told, 1), is_male[seen], np.array([1.0, 0.0, 0.0, 0.0]), near)
    bodies = _fitted(around.answers(unseen)[:, :1], is_male[unseen], np.ones(1))
    large = _fitted(of_face[~near][:, :1], is_male[seen][~near], np.ones(1))
    empty = np.array([row for row in prepared.nobody.tolist() if _is_false(prepared, row)], int)
    of_no_face, of_no_body = face.answers(empty)[:, 1], around.answers(empty)[:, 1]
    # There are too few large false faces to fit by: those of all sizes speak for them.
    nobody = _told_apart(
        np.stack((of_no_face, of_no_body), 1), np.stack((of_face[near, 1], of_around[near, 1]), 1)
    )
    large_nobody = _told_apart(of_no_face[:, None], of_face[~near, 1:])
    return Fusion(np.concatenate((both, bodies)), nobody, np.concatenate((large, large_nobody)))


def _told_apart(nobody: Floats, somebody: Floats) -> Floats:
    """The weights of logits that tell nobody from somebody, and a constant, (L + 1,).

    nobody, somebody: their logits of nobody, (N, L) and (S, L).
    """
    told = np.concatenate((nobody, somebody))
    is_nobody = np.arange(len(told)) < len(nobody)
    otherwise = np.zeros(told.shape[1] + 1)
    otherwise[0] = 1.0
    return _fitted(np.column_stack((told, np.ones(len(told)))), is_nobody, otherwise, is_nobody)


def _is_false(prepared: Prepared, row: int) -> bool:
    """Whether it is a false face of the split `val`, surely: where nobody is."""
    crop = prepared.crop(row)
    return crop.split == "val" and crop.label == NOBODY and crop.size > 0


def _fitted(told: Floats, is_so: Bools, otherwise: Floats, part: Bools | None = None) -> Floats:
    """The weights of a logistic regression without intercept, or others for too few pictures.

    part: counts as much as the rest, however few pictures it has; None: all count the same.
    """
    if min(int(is_so.sum()), int((~is_so).sum())) < _FEWEST:
        return otherwise
    weights = np.ones(len(told))
    if part is not None and 0 < part.sum() < len(part):
        weights = 0.5 / np.where(part, part.mean(), 1 - part.mean())
    regression = LogisticRegression(C=_LOOSE, fit_intercept=False, max_iter=1000)
    found: Floats = regression.fit(told, is_so, weights).coef_[0]
    return found


def _male(classifier: TwoInputClassifier, face: Half, around: Half, rows: Indices) -> Floats:
    """The fused logits of `male`, (R,)."""
    of_face, of_around, sizes = (
        torch.from_numpy(numbers).float()
        for numbers in (face.answers(rows), around.answers(rows), _sizes(face.prepared, rows))
    )
    with torch.inference_mode():
        fused: Tensor = classifier.fused(of_face, of_around, sizes)
    return fused[:, 0].double().numpy()


def _sizes(prepared: Prepared, rows: Indices) -> Floats:
    """Longer sides of the faces, in pixels that the service sees; 0 without a face."""
    return np.array([prepared.crop(row).size for row in rows.tolist()], dtype=np.float64)


def _open(folder: Path) -> Half:
    run = checkpoint.load(folder)
    prepared = prepared_of(run, folder)
    return Half(run, best_network(run), prepared)


def _require_pair(face: Half, around: Half, names: str) -> None:
    first, second = face.run.basis, around.run.basis
    if not (
        first.recipe.network.arch == "pooled"
        and first.recipe.tells_nobody
        and second.recipe.network.arch == "surroundings"
    ):
        raise UsageError(
            f"{names}: not a face and its surroundings",
            "name a run of `accurate` first, then one of `surroundings`",
        )
    if (first.mean, first.std) != (second.mean, second.std):
        raise UsageError(
            f"{names}: normalise by different colours", "give both recipes the same mean and std"
        )
    if face.prepared.digest != around.prepared.digest:
        raise GdwatchError(
            f"{names}: trained on different pictures", "train both from one prepared folder"
        )


def _two_inputs(face: Half, around: Half) -> tuple[TwoInputClassifier, Network]:
    """The network of both, not fused yet, and its entry for a model file."""
    of_face, of_around = face.run.basis.recipe, around.run.basis.recipe
    arguments: dict[str, Any] = {
        "face": of_face.arguments,
        "surroundings": of_around.arguments | folded(of_around),
        "alone_from": _ALONE_FROM,
    }
    colour = face.run.basis
    classifier = TwoInputClassifier(**arguments, mean=colour.mean, std=colour.std).eval()
    weights = {f"face.{name}": value for name, value in face.network.state_dict().items()}
    weights |= around.network.state_dict()  # its names begin with "surroundings." already
    classifier.load_state_dict(classifier.state_dict() | weights)
    described = Network(arch="two_inputs", arguments=arguments, input=of_face.input)
    return classifier, described


@torch.no_grad()
def _set(classifier: TwoInputClassifier, fusion: Fusion) -> None:
    classifier.male.copy_(torch.from_numpy(fusion.male))
    classifier.nobody.copy_(torch.from_numpy(fusion.nobody))
    classifier.alone.copy_(torch.from_numpy(fusion.alone))
