"""Train a teacher on embeddings of faces, and let it answer out of fold.

The teacher is a perceptron with one hidden layer. It answers for no picture that it was trained on,
nor for another one of the same person or the same photograph.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from gdwatch.errors import GdwatchError
from train.data.near_duplicates import inseparable_groups, near_pairs
from train.data.prepared_set import Indices, Prepared, load, load_hashes
from train.fitting.recipe import Recipe
from train.fitting.selection import pictures_held_back, pictures_of_an_epoch
from train.metrics import Bools, Floats, balanced_accuracy
from train.teachers.embed import Embedded

_FOLDS = 5
_HIDDEN = 256
_EPOCHS = 12
_BATCH = 128
_RATE = 0.001  # learning rate, at its peak
_SMOOTHING = 0.05  # label smoothing: 1 to 2 % of the labels are wrong


@dataclass(frozen=True, slots=True)
class TeacherAnswers:
    """A teacher's answers.

    p_male: by path, 0 to 1, of every picture with a face.
    val_balanced_accuracy: on the split `val`.
    """

    p_male: dict[str, float]
    val_balanced_accuracy: float


def teach(prepared: Prepared, embedded: Embedded, recipe: Recipe) -> TeacherAnswers:
    """Train a teacher on the pictures that a recipe trains on, by cross-validation.

    prepared: with the labels, perhaps cleaned.
    embedded: float32 (M, D), of every picture that was prepared, as from `embed.embeddings`.

    The teacher is trained on the recipe's pictures only, so that no label that is held back leaks
    into the answers. Answers for pictures that it was trained on are out of fold; the others are
    the mean of the folds' logits.

    Raises GdwatchError where there are too few faces.
    """
    known = embedded[prepared.places[: len(prepared.rows)]]
    faced: Bools = np.isfinite(known.sum(1))
    learnt = np.unique(pictures_of_an_epoch(prepared, recipe))
    learnt = learnt[faced[learnt]]
    male = prepared.is_male()
    logits = np.zeros(len(prepared.rows))
    others = np.setdiff1d(np.flatnonzero(faced), learnt)
    for there, out in _folds(male[learnt], _groups(prepared)[learnt]):
        fold, asked = learnt[there], np.concatenate((learnt[out], others))
        said = _train_and_predict(known[fold], male[fold], known[asked], recipe.seed)
        logits[learnt[out]] = said[: len(out)]
        logits[others] += said[len(out) :] / _FOLDS
    p_male = 1 / (1 + np.exp(-logits))
    held_back = pictures_held_back(prepared, recipe)
    held_back = held_back[faced[held_back]]
    return TeacherAnswers(
        {prepared.rows[row].path: float(p_male[row]) for row in np.flatnonzero(faced).tolist()},
        balanced_accuracy(logits[held_back] > 0, male[held_back]),
    )


def _groups(prepared: Prepared) -> Indices:
    """The group of each row: pictures of one person or one photograph."""
    whole = load(prepared.folder)
    groups = inseparable_groups(
        [row.identity for row in whole.rows], near_pairs(load_hashes(prepared.folder))
    )
    return groups[prepared.places[: len(prepared.rows)]]


def _folds(male: Bools, groups: Indices) -> list[tuple[Indices, Indices]]:
    fewest = min(len(np.unique(groups[male])), len(np.unique(groups[~male])))
    if fewest < _FOLDS:
        raise GdwatchError("too few different faces of one class", "detect and prepare more")
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    return list(folds.split(groups, male, groups))


def _train_and_predict(known: Embedded, male: Bools, asked: Embedded, seed: int) -> Floats:
    """Train a perceptron, and predict: logits of `male`, (A,).

    known: float32 (N, D); male: (N,); asked: float32 (A, D).
    """
    torch.manual_seed(seed)
    mean, std = known.mean(0), known.std(0) + 1e-6
    seen = torch.from_numpy((known - mean) / std)
    targets = torch.from_numpy(male).float() * (1 - _SMOOTHING) + _SMOOTHING / 2
    network = nn.Sequential(
        nn.Dropout(0.1), nn.Linear(seen.shape[1], _HIDDEN), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(_HIDDEN, 1), nn.Flatten(0),
    )  # fmt: skip
    steps = _EPOCHS * -(-len(seen) // _BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, steps)
    for _ in range(_EPOCHS):
        order = torch.randperm(len(seen))
        for batch in order.split(_BATCH):  # type: ignore[no-untyped-call]
            loss = F.binary_cross_entropy_with_logits(network(seen[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        said: Tensor = network.eval()(torch.from_numpy((asked - mean) / std))
    return said.double().numpy()
