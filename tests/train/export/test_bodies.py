from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gdwatch.inference.model import Model
from gdwatch.networks.two_inputs import TwoInputClassifier
from gdwatch.values import Box, Decision, Face, Scores
from tests import build
from tests.train.build import two_input_model
from train.data.sources import Entry, entries
from train.evaluation.photographs import Answered
from train.export.bodies import FEWEST, choose_bodies

SMALL, LARGE = Box(60, 20, 12, 14), Box(20, 20, 90, 100)


@pytest.fixture
def bright_is_male() -> Model:
    """A model whose surroundings tell male from female by brightness, and surely."""
    made = two_input_model()
    assert isinstance(made.classifier, TwoInputClassifier)
    flat = torch.tensor([70, 190], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 128, 80)
    with torch.no_grad():
        dark, bright = made.classifier.around(flat)[:, 0].tolist()
        made.classifier.surroundings.head.weight[0] *= 6 / (bright - dark)
        made.classifier.surroundings.head.bias[0] = 0.0
        dark, bright = made.classifier.around(flat)[:, 0].tolist()
        made.classifier.surroundings.head.bias[:] = torch.tensor([-(dark + bright) / 2, -9.0])
        made.classifier.male[4] = 1.0
    return made


@pytest.fixture
def photographs(tmp_path: Path) -> list[Entry]:
    for label, light in (("female", 70), ("male", 190)):
        (tmp_path / label).mkdir()
        for number in range(FEWEST // 2):
            shown = np.full((200, 160, 3), light + number, np.uint8)
            Image.fromarray(shown).save(tmp_path / label / f"{number}.png")
    return entries([tmp_path])


def answered(entry: Entry, box: Box) -> Answered:
    return Answered(
        entry, Scores(None, 1, (Face(box, 0.9, 0.5, 100.0, 0.0),)), Decision("unsure", "small_face")
    )


def test_the_confidence_is_chosen_by_people_whose_face_is_withheld(
    bright_is_male: Model, photographs: list[Entry]
) -> None:
    found = choose_bodies(bright_is_male, [answered(each, SMALL) for each in photographs])
    assert found is not None
    assert (found.unseen, found.withheld, found.accepted) == (0, FEWEST, FEWEST)
    assert found.accuracy == 1.0
    assert 0.5 < (found.min_confidence or 0) < 1
    assert "100.0 % of 40 accepted are right, of 0 without a visible face" in str(found)


def test_a_face_that_is_large_enough_to_tell_something_is_not_withheld(
    bright_is_male: Model, photographs: list[Entry]
) -> None:
    found = choose_bodies(bright_is_male, [answered(each, LARGE) for each in photographs])
    assert found is not None
    assert (found.withheld, found.min_confidence) == (0, None)
    assert str(found).startswith("none (of 0 without a visible face and 0 whose small face")


def test_a_model_that_is_wrong_tells_no_body(
    bright_is_male: Model, photographs: list[Entry]
) -> None:
    turned = [replace(each, label="female") for each in photographs]
    swapped = [replace(each, label="male") if each.path.startswith("f") else each
               for each in turned]  # fmt: skip
    found = choose_bodies(bright_is_male, [answered(each, SMALL) for each in swapped])
    assert found is not None
    assert (found.accuracy, found.min_confidence) == (0.0, None)


def test_a_model_that_sees_only_faces_has_no_such_confidence(photographs: list[Entry]) -> None:
    plain = Model(None, build.network(), build.details(), "")
    assert choose_bodies(plain, [answered(each, SMALL) for each in photographs]) is None
