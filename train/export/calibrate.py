"""Calibrate a model file on whole photographs, and write its measures into it.

The ranges of its layers, the temperature, `min_confidence` and `min_confidence_bodies` are chosen
on the split `val`, whose photographs go the same way as in the service. Only then is the model
measured on the split `test`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from gdwatch.errors import GdwatchError
from gdwatch.inference import model
from gdwatch.inference.calibration import Calibrated, qualities
from gdwatch.inference.faces import confidence
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Calibration, Details
from train.atomic_files import make_folder
from train.data.sources import CLASSES, entries, require_sources
from train.evaluation.photographs import Answered, answers, batches, choose, p_male
from train.export.bodies import Bodies, choose_bodies
from train.export.ranges import with_ranges
from train.metrics import (
    Floats,
    balanced_accuracy,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
)

ACCURACY = 0.988  # of the accepted pictures, by default: a margin above 98.5 %
_RANGED = 1000  # photographs that the ranges are measured on, at least
_LOOSE = 1e6  # inverse of the regularisation: next to none
_LEAST = 1e-7  # least distance of a probability from 0 and 1, so that it has a logit


@dataclass(frozen=True, slots=True)
class Measured:
    """The details that were written, and the answers on the split `test`.

    bodies: by what `min_confidence_bodies` was chosen; None for a model that sees only faces.
    """

    details: Details
    found: list[Answered]
    bodies: Bodies | None


def choose_calibration(
    loaded: Model, found: Sequence[Answered], accuracy: float, wild: Collection[str] = ()
) -> Details:
    """Choose calibration and min_confidence by the photographs on which a face was found.

    accuracy: wanted of the accepted ones, 0.5 to 1.
    wild: sources that weigh as much as all others together; if none is named, all weigh the same.

    Raises GdwatchError if it finds too few faces.
    """
    faces = [each for each in found if each.entry.label in CLASSES and each.scores.faces]
    if len({each.entry.label for each in faces}) < len(CLASSES):
        raise GdwatchError(
            f"{loaded.details.name}: of {len(found)} photographs of the split val, it finds faces "
            f"on {len(faces)}, not of both classes",
            "prepare more photographs, or train its locators longer",
        )
    male = np.array([each.entry.label == "male" for each in faces])
    first = [each.scores.faces[0] for each in faces]
    said = np.array([face.p_male for face in first]).clip(_LEAST, 1 - _LEAST)
    sizes = torch.tensor([max(face.box.width, face.box.height) for face in first])
    sharp = torch.tensor([face.sharpness for face in first])
    was = Calibrated(loaded.details.temperature, loaded.details.calibration)
    logits = np.log(said / (1 - said)) / was.factor(sizes, sharp).numpy()
    seen = np.stack([np.ones(len(said)), *(each.numpy() for each in qualities(sizes, sharp))], 1)
    weights = _weights([each.entry.source for each in faces], wild)
    # A logistic fit without intercept, so that a logit of 0 stays a probability of 0.5.
    fitted = LogisticRegression(C=_LOOSE, fit_intercept=False, max_iter=1000).fit(
        seen * logits[:, None], male, weights
    )
    plain, size, sharpness = (float(each) for each in fitted.coef_[0])
    if plain > _LEAST:
        temperature = 1 / plain
        calibration = Calibration(
            size=round(size / plain, 4), sharpness=round(sharpness / plain, 4)
        )
    else:  # a network that tells nothing: no quality of a face makes it right
        temperature, calibration = fit_temperature(logits, male), Calibration()
    details = loaded.details.model_copy(
        update={"temperature": round(temperature, 4), "calibration": calibration}
    )
    now = Calibrated(details.temperature, calibration)
    p = now.p_male(torch.from_numpy(logits), sizes, sharp).numpy()
    sure = np.array(
        [confidence(each, face.p_nobody) for each, face in zip(p.tolist(), first, strict=True)]
    )
    threshold = choose_threshold(p, male, accuracy, sure=sure, weights=weights)
    return details.model_copy(update={"min_confidence": round(threshold.min_confidence, 4)})


def _weights(sources: Sequence[str], wild: Collection[str]) -> Floats:
    """Weights with which the wild photographs and the others count the same in all."""
    is_wild = np.isin(sources, list(wild))
    share = float(is_wild.mean())
    if not 0 < share < 1:
        return np.ones(len(sources))
    return np.where(is_wild, 0.5 / share, 0.5 / (1 - share))


def measures(found: Sequence[Answered]) -> dict[str, Any]:
    """The measures for the model file, rounded to four digits."""
    people = [each for each in found if each.entry.label in CLASSES]
    male = np.array([each.entry.label == "male" for each in people])
    said = p_male(people)
    sources = np.array([each.entry.source for each in people])
    by_source = {
        str(source): balanced_accuracy(said[sources == source] >= 0.5, male[sources == source])
        for source in np.unique(sources)
    }
    sure = [each for each in people if each.decision.outcome != "unsure"]
    numbers: dict[str, float] = {
        "mean_of_sources": float(np.mean(list(by_source.values()))),
        "balanced_accuracy": balanced_accuracy(said >= 0.5, male),
        "expected_calibration_error": expected_calibration_error(said, male),
        "coverage": len(sure) / len(people),
        "accepted_accuracy": float(np.mean([each.right for each in sure])),
    }
    return {
        "split": "test",
        "pictures": len(people),
        **{name: round(value, 4) for name, value in numbers.items()},
        "by_source": {source: round(float(value), 4) for source, value in by_source.items()},
    }


def calibrate(
    loaded: Model,
    data: Sequence[Path],
    prepared: Path,
    accuracy: float,
    file: Path,
    wild: Collection[str] = (),
) -> Measured:
    """Calibrate a model and write it to a file.

    data, prepared: as for `photographs.choose`. A source that the recipe kept out of training takes
    no part in what is chosen, and all of it in what is measured.
    wild: as for `choose_calibration`.

    Raises GdwatchError.
    """
    require_sources(wild, entries(data), data)
    without = loaded.details.recipe.get("without", [])
    held_back = [each for each in choose(data, prepared, "val") if each.source not in without]
    some = held_back[:: max(1, len(held_back) // _RANGED)]
    photographs = ([seen.photo for _, seen in batch] for batch in batches([loaded], some))
    loaded = with_ranges(loaded, photographs)
    on_val = list(answers([loaded], held_back))
    details = choose_calibration(loaded, on_val, accuracy, wild)
    bodies = choose_bodies(replace(loaded, details=details), on_val)
    of_bodies = {} if bodies is None else {"bodies": bodies.measures}
    least = None if bodies is None else bodies.min_confidence
    details = details.model_copy(update={"min_confidence_bodies": least})
    loaded = replace(loaded, details=details)
    found = list(answers([loaded], choose(data, prepared, "test", without)))
    details = details.model_copy(update={"measures": measures(found) | of_bodies})
    loaded = replace(loaded, details=details)
    make_folder(file.parent)
    model.save(file, loaded, torch.int8)
    return Measured(details, found, bodies)
