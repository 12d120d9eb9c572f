from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gdwatch.errors import GdwatchError
from gdwatch.values import Box
from tests.train.build import write_rows
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.fitting.recipe import Recipe

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from train.detection.boxes import Face
from train.teachers.embed import Embedded, SeenFace
from train.teachers.teach import teach


@pytest.fixture
def wanted(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"without": ["new"]})


def seen_faces(paths: Sequence[str]) -> list[SeenFace]:
    """One face of each photograph; where a path comes again, another one of it."""
    box = Face(Box(0, 0, 50, 50), 0.9, ())
    return [SeenFace(path, box, main=path not in paths[:number])
            for number, path in enumerate(paths)]  # fmt: skip


def embedded_of(paths: Sequence[str], values: np.ndarray) -> Embedded:
    """The same numbers of the face and of its surroundings."""
    return Embedded(seen_faces(paths), values.astype(np.float16), values.astype(np.float16))


def test_teachers_learn_what_the_embeddings_tell_and_answer_for_all_faces(
    prepared: Prepared, wanted: Recipe
) -> None:
    dice = np.random.default_rng(0)
    paths = [row.path for row in prepared.rows[1:]]
    paths += [paths[0], "unlabelled/1.png", "unlabelled/1.png"]
    male = np.append(prepared.is_male()[1:], [False, True, False])
    values = dice.normal(size=(len(paths), 40))
    values[:, :9] += np.where(male, 1.5, -1.5)[:, None]
    said = teach(prepared, embedded_of(paths, values), wanted)
    for each in (said.face, said.surroundings, said.fused):
        assert each.shape == (len(paths),)
        assert np.mean((each > 0) == male) > 0.9
        assert ((each > 0) == male)[-3:].all()


def test_no_teacher_answers_for_a_person_that_it_has_learnt(
    prepared: Prepared, wanted: Recipe
) -> None:
    # The embedding tells the person and nothing else, so in fold all would be right.
    people = [f"person {number // 4}" for number in range(len(prepared.rows))]
    rows = [replace(row, identity=one) for row, one in zip(prepared.rows, people, strict=True)]
    write_rows(prepared, rows)
    again = prepared_set.load(prepared.folder)
    directions = np.random.default_rng(0).normal(size=(len(rows), 60))
    values = np.array([directions[number // 4] for number in range(len(rows))])
    twice = [row.path for row in rows] * 2
    said = teach(again, embedded_of(twice, np.concatenate((values, values))), wanted)
    learnt = again.select("train", 0)
    for faces in (learnt, learnt + len(rows)):  # those that were learnt, and others beside them
        for each in (said.face, said.surroundings, said.fused):
            assert 0.2 < np.mean((each[faces] > 0) == again.is_male()[learnt]) < 0.8


def test_what_is_kept_out_teaches_nothing(prepared: Prepared, wanted: Recipe) -> None:
    values = np.random.default_rng(0).normal(size=(len(prepared.rows), 20))
    rows = [replace(row, source="new") if number % 4 == 0 else row
            for number, row in enumerate(prepared.rows)]  # fmt: skip
    other = {"female": "male", "male": "female"}
    swapped = [replace(row, label=other[row.label])
               if row.source == "new" or row.split != "train" else row for row in rows]  # fmt: skip
    said = []
    for each in (rows, swapped):
        write_rows(prepared, each)
        embedded = embedded_of([row.path for row in rows], values)
        said.append(teach(prepared_set.load(prepared.folder), embedded, wanted).fused.tolist())
    assert said[0] == said[1]


def test_too_few_faces_are_an_error(prepared: Prepared, wanted: Recipe) -> None:
    embedded = embedded_of([row.path for row in prepared.rows[:3]], np.ones((3, 4)))
    with pytest.raises(GdwatchError, match="too few different faces of one class"):
        teach(prepared, embedded, wanted)
