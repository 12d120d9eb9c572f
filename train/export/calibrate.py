"""Calibrate a model file on whole photographs, and write its measures into it.

The ranges of its layers, the temperature and `min_confidence` are chosen on the split `val`, whose
photographs go the same way as in the service. Only then is the model measured on the split `test`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdwatch.inference import model
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Details
from train.atomic_files import make_folder
from train.data.sources import CLASSES
from train.evaluation.photographs import Answered, answers, batches, choose, p_male
from train.export.ranges import with_ranges
from train.metrics import (
    balanced_accuracy,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    probabilities,
)

ACCURACY = 0.988  # of the accepted pictures, by default: a margin above 98.5 %
_RANGED = 1000  # photographs that the ranges are measured on, at least
_LEAST = 1e-7  # least distance of a probability from 0 and 1, so that it has a logit


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The details that were written, and the answers on the split `test`."""

    details: Details
    found: list[Answered]


def choose_calibration(loaded: Model, found: Sequence[Answered], accuracy: float) -> Details:
    """Choose temperature and min_confidence by the photographs on which a face was found.

    accuracy: wanted of the accepted ones, 0.5 to 1.
    """
    faces = [each for each in found if each.entry.label in CLASSES and each.decision.faces]
    male = np.array([each.entry.label == "male" for each in faces])
    said = p_male(faces).clip(_LEAST, 1 - _LEAST)
    logits = np.log(said / (1 - said)) * loaded.details.temperature
    temperature = fit_temperature(logits, male)
    threshold = choose_threshold(probabilities(logits, temperature), male, accuracy)
    return loaded.details.model_copy(
        update={
            "temperature": round(temperature, 4),
            "min_confidence": round(threshold.min_confidence, 4),
        }
    )


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
    loaded: Model, data: Sequence[Path], prepared: Path, accuracy: float, file: Path
) -> Calibrated:
    """Calibrate a model and write it to a file.

    data, prepared: as for `photographs.choose`. A source that the model's recipe kept out of
    training takes no part in what is chosen, and all of it in what is measured.

    Raises GdwatchError.
    """
    without = loaded.details.recipe.get("without", [])
    held_back = [each for each in choose(data, prepared, "val") if each.source not in without]
    some = held_back[:: max(1, len(held_back) // _RANGED)]
    photographs = ([seen.photo for _, seen in batch] for batch in batches(loaded, some))
    loaded = with_ranges(loaded, photographs)
    details = choose_calibration(loaded, list(answers(loaded, held_back)), accuracy)
    loaded = Model(loaded.locator, loaded.classifier, details, "")
    found = list(answers(loaded, choose(data, prepared, "test", without)))
    details = details.model_copy(update={"measures": measures(found)})
    make_folder(file.parent)
    model.save(file, loaded.classifier, details, loaded.locator, torch.float16)
    return Calibrated(details, found)
