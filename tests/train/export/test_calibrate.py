import pytest

from gdwatch.errors import GdwatchError
from gdwatch.values import Box, Decision, Face, Scores
from tests.train.build import two_input_model
from train.data.sources import Entry
from train.evaluation.photographs import Answered
from train.export.calibrate import choose_calibration


def answered(label: str, faces: tuple[Face, ...]) -> Answered:
    entry = Entry(f"{label}.png", label, "photos", None, "", "", "val", None)
    return Answered(entry, Scores(0.5, len(faces), faces), Decision("unsure", "no_face"))


@pytest.mark.parametrize("labels", [(), ("female",)])
def test_a_model_that_finds_too_few_faces_to_calibrate_by_is_named(labels: tuple[str, ...]) -> None:
    face = Face(Box(0, 0, 40, 40), 0.9, 0.7, 100.0, 0.0)
    found = [answered(each, (face,) if each in labels else ()) for each in ("female", "male")]
    with pytest.raises(GdwatchError, match=rf"faces on {len(labels)}, not of both classes") as told:
        choose_calibration(two_input_model(), found, 0.9)
    assert "train its locators longer" in str(told.value)
