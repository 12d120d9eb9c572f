from dataclasses import replace

import numpy as np
import pytest
import torch

from train.data.crops import EMPTY, FACE, FALSE, OTHER, WHOLE, CropRow
from train.data.prepared_set import Prepared
from train.fitting import recipe as recipes
from train.fitting.targets import Lessons, lessons
from train.fitting.teacher import WrittenTeacher

CPU = torch.device("cpu")


@pytest.fixture
def faces(prepared: Prepared) -> Prepared:
    """The prepared pictures as if faces had been cut out of them, with seven more crops."""
    rows = [replace(row, source="aaf", age=None) for row in prepared.rows]
    cut = [
        CropRow(row.path, row.label, "aaf", row.split, FACE, 0, 0, 50, 60, score=0.9)
        for row in rows
    ]
    learnt = [number for number, row in enumerate(rows) if row.split == "train"]
    small, doubtful, unseen = learnt[:3]
    cut[small] = replace(cut[small], width=20, height=20)
    cut[doubtful] = replace(cut[doubtful], score=0.4)
    cut[unseen] = replace(cut[unseen], kind=WHOLE, width=0, height=0)
    more = [
        CropRow("crowd", "unknown", "oi", "train", OTHER, 1, 1, 30, 30, score=1.0, p_male=0.8),
        CropRow("crowd", "unknown", "oi", "val", OTHER, 1, 1, 30, 30, score=1.0, p_male=0.8),
        CropRow("cat", "none", "nopeople", "train", FALSE, 1, 1, 30, 30),
        CropRow("crowd", "unknown", "oi", "train", FALSE, 1, 1, 30, 30, score=0.3),
        CropRow("cat", "none", "nopeople", "val", FALSE, 1, 1, 30, 30),
        CropRow("crowd", "unknown", "gulf", "train", FALSE, 1, 1, 30, 30, score=0.3),
        CropRow("cat", "none", "nopeople", "train", EMPTY),
    ]
    return replace(
        prepared, rows=rows, view="face", crops=[*cut, *more],
        places=np.arange(len(cut) + len(more)),
    )  # fmt: skip


def first_of_train(faces: Prepared) -> list[int]:
    return [number for number, row in enumerate(faces.rows) if row.split == "train"][:5]


def learnt(faces: Prepared, name: str, p_male: float = 0.5) -> Lessons:
    """What a recipe learns where a teacher says the same of all but one, whose label it denies."""
    row = faces.rows[first_of_train(faces)[3]]
    said = {each.path: p_male for each in faces.rows}
    said[row.path] = 0.001 if row.label == "male" else 0.999
    return lessons(faces, recipes.read(name), WrittenTeacher("", said), CPU)


def test_a_small_face_takes_more_of_its_label(faces: Prepared) -> None:
    targets = learnt(faces, "fast").targets.male
    small, *_, usual = first_of_train(faces)
    assert abs(targets[small] - 0.5) == pytest.approx(0.75 * 0.47, abs=1e-4)
    assert abs(targets[usual] - 0.5) == pytest.approx(0.4 * 0.47, abs=1e-4)


def test_whole_photographs_and_contradicted_labels_are_not_learnt(faces: Prepared) -> None:
    small, doubtful, unseen, swapped, usual = first_of_train(faces)
    rows = learnt(faces, "fast").rows
    assert np.isin([small, doubtful, unseen, swapped, usual], rows).tolist() == [
        True, True, False, False, True
    ]  # fmt: skip


def test_of_nobody_a_face_learns_less_where_the_detector_doubts_it(faces: Prepared) -> None:
    doubtful, usual = first_of_train(faces)[1], first_of_train(faces)[4]
    targets = learnt(faces, "fast").targets
    assert targets.nobody[usual] == pytest.approx(0.01)
    assert targets.nobody_weight[[doubtful, usual]].tolist() == [0.0, 1.0]
    assert targets.male_weight[[doubtful, usual]].tolist() == [1.0, 1.0]


def test_further_faces_have_the_teachers_answer_and_false_ones_none(faces: Prepared) -> None:
    first = len(faces.rows)
    found = learnt(faces, "fast")
    more = [row - first for row in found.rows.tolist() if row >= first]
    assert more == [0, 2, 3]
    assert found.targets.male[first] == pytest.approx(0.8)
    assert found.targets.male_weight[first + 2 : first + 4].tolist() == [0.0, 0.0]
    said = found.targets.nobody[first + 2 : first + 4].tolist()
    assert said == pytest.approx([0.99, 0.93])
    assert found.times[-3:].tolist() == pytest.approx([4, 0.7, 0.7])


def test_surroundings_are_learnt_without_a_face_too(faces: Prepared) -> None:
    unseen = first_of_train(faces)[2]
    found = learnt(replace(faces, view="surroundings"), "surroundings")
    first = len(faces.rows)
    assert unseen in found.rows
    assert [row - first for row in found.rows.tolist() if row >= first] == [0, 2, 6]
