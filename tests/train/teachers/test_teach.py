from dataclasses import replace

import numpy as np
import pytest

from gdwatch.errors import GdwatchError
from tests.train.build import write_rows
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.fitting.recipe import Recipe

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from train.teachers.teach import teach


@pytest.fixture
def wanted(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"without": ["new"]})


def test_a_teacher_learns_what_the_embeddings_tell(prepared: Prepared, wanted: Recipe) -> None:
    dice = np.random.default_rng(0)
    embedded = dice.normal(size=(len(prepared.rows), 40)).astype(np.float32)
    embedded[:, :9] += np.where(prepared.is_male(), 1.5, -1.5)[:, None]
    embedded[3] = np.nan
    taught = teach(prepared, embedded, wanted)
    assert taught.val_balanced_accuracy > 0.9
    assert prepared.rows[3].path not in taught.p_male
    assert len(taught.p_male) == len(prepared.rows) - 1
    right = [(taught.p_male[row.path] > 0.5) == (row.label == "male")
             for row in prepared.rows if row.path in taught.p_male]  # fmt: skip
    assert np.mean(right) > 0.9


def test_a_teacher_never_answers_for_a_person_that_it_has_learnt(
    prepared: Prepared, wanted: Recipe
) -> None:
    # The embedding tells the person and nothing else, so in fold all would be right.
    people = [f"person {number // 4}" for number in range(len(prepared.rows))]
    rows = [replace(row, identity=one) for row, one in zip(prepared.rows, people, strict=True)]
    write_rows(prepared, rows)
    again = prepared_set.load(prepared.folder)
    directions = np.random.default_rng(0).normal(size=(len(rows), 60))
    embedded = np.array([directions[number // 4] for number in range(len(rows))], np.float32)
    taught = teach(again, embedded, wanted)
    learnt = again.select("train", 0).tolist()
    right = [(taught.p_male[rows[row].path] > 0.5) == (rows[row].label == "male") for row in learnt]
    assert 0.2 < np.mean(right) < 0.8


def test_what_is_kept_out_teaches_nothing(prepared: Prepared, wanted: Recipe) -> None:
    dice = np.random.default_rng(0)
    embedded = dice.normal(size=(len(prepared.rows), 20)).astype(np.float32)
    rows = [replace(row, source="new") if number % 4 == 0 else row
            for number, row in enumerate(prepared.rows)]  # fmt: skip
    other = {"female": "male", "male": "female"}
    swapped = [replace(row, label=other[row.label])
               if row.source == "new" or row.split != "train" else row for row in rows]  # fmt: skip
    said = []
    for each in (rows, swapped):
        write_rows(prepared, each)
        said.append(teach(prepared_set.load(prepared.folder), embedded, wanted).p_male)
    assert said[0] == said[1]


def test_too_few_faces_are_an_error(prepared: Prepared, wanted: Recipe) -> None:
    embedded = np.full((len(prepared.rows), 4), np.nan, np.float32)
    embedded[:3] = 1
    with pytest.raises(GdwatchError, match="too few different faces of one class"):
        teach(prepared, embedded, wanted)
