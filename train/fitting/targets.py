"""What a network is to say of each picture: soft targets, mixed of labels and a teacher's answers.

Where nobody is, nothing is learnt of female and male; what a network cannot say is not asked of it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from train.data.crops import FACE
from train.data.prepared_set import Indices, Prepared
from train.data.sources import NOBODY
from train.fitting.recipe import Recipe
from train.fitting.selection import (
    nobody_of_an_epoch,
    others_of_an_epoch,
    pictures_of_an_epoch,
    times_shown,
)
from train.fitting.teacher import Teacher
from train.metrics import Floats

_SMALL = 24.0  # pixels of a face's longer side below which a teacher sees little, too
_SURELY_SEEN = 40.0  # above this, a teacher that contradicts a label strongly is right
_DOUBTED = 0.5  # score of a face below which it may be none
# Targets of the logit of nobody. Among people, what looks like a false face may be a true one.
_SOMEBODY, _NOBODY_AMONG_PEOPLE, _NOBODY_AT_ALL = 0.01, 0.93, 0.99


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of all rows of a prepared folder; float32 (R,) each, by row number.

    male: 0 for female to 1 for male; male_weight: of that in the loss.
    nobody: 0 to 1; nobody_weight: of that in the loss.
    """

    male: Tensor
    male_weight: Tensor
    nobody: Tensor
    nobody_weight: Tensor

    def of(self, rows: Indices, device: torch.device) -> "Targets":
        """The targets of some rows, on a device."""
        return Targets(
            *(
                each[rows].to(device)
                for each in (self.male, self.male_weight, self.nobody, self.nobody_weight)
            )
        )


@dataclass(frozen=True, slots=True)
class Lessons:
    """What is learnt. rows: int64 (R,), each once; times: (R,), how often an epoch shows each."""

    rows: Indices
    times: Floats
    targets: Targets


def lessons(
    prepared: Prepared, recipe: Recipe, teacher: Teacher | None, device: torch.device
) -> Lessons:
    """The pictures that a recipe learns from, with their targets.

    Label smoothing applies to all labels; a teacher's answers to what is learnt.
    """
    learnt = pictures_of_an_epoch(prepared, recipe)
    smoothing = recipe.label_smoothing
    labels = prepared.is_male().astype(np.float64)
    male = np.full(len(prepared.places), 0.5)
    male[: len(labels)] = labels * (1 - smoothing) + smoothing / 2
    sizes = _sizes(prepared)
    if teacher is not None:
        said = teacher.answers(prepared, learnt, device)
        share = np.full(len(learnt), recipe.teacher)
        if recipe.teacher_of_small is not None:
            share[(sizes[learnt] > 0) & (sizes[learnt] < _SMALL)] = recipe.teacher_of_small
        male[learnt] += share * (said - male[learnt])
        if recipe.contradicted is not None:
            apart = np.abs(said - labels[learnt]) > recipe.contradicted
            learnt = learnt[~(apart & (sizes[learnt] > _SURELY_SEEN))]
    others = others_of_an_epoch(prepared, recipe)
    male[others] = [prepared.crop(row).p_male for row in others.tolist()]
    rows = np.concatenate((learnt, others, nobody_of_an_epoch(prepared, recipe)))
    return Lessons(rows, times_shown(prepared, rows, recipe), _targets(prepared, recipe, male))


def _sizes(prepared: Prepared) -> Floats:
    """The longer side of each row's face, see `CropRow.size`; 0 where it is whole."""
    if not prepared.crops:
        return np.zeros(len(prepared.places))
    return np.array([prepared.crop(row).size for row in range(len(prepared.places))])


def _targets(prepared: Prepared, recipe: Recipe, male: Floats) -> Targets:
    count = len(male)
    of_male, of_nobody = np.ones(count), np.ones(count)
    nobody = np.full(count, _SOMEBODY)
    if recipe.tells_nobody:
        for row in prepared.nobody.tolist():
            at_all = prepared.crop(row).label == NOBODY
            nobody[row] = _NOBODY_AT_ALL if at_all else _NOBODY_AMONG_PEOPLE
            of_male[row] = 0.0
        for row in range(len(prepared.rows)):
            crop = prepared.crop(row)
            if crop.kind == FACE and crop.score < _DOUBTED:
                of_nobody[row] = 0.0
    return Targets(*(torch.from_numpy(each).float() for each in (male, of_male, nobody, of_nobody)))
