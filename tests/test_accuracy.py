"""The shipped models on real photographs, where they are; none is in the project."""

import hashlib
from pathlib import Path

import pytest

from gdwatch.inference import model, model_file
from train.data.prepare import split_of
from train.data.sources import Entry, entries
from train.evaluation.photographs import MIN_AGE, Answered, answers

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
FACE_CROPS = ("utk", "imdb", "wiki", "celeb", "crops")
WITH_BACKGROUND = ("lfw", "portraits", "gulf")
SHARE = 4  # every fourth of the held-out pictures: enough to be sure of two points

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the photographs that the models are measured on are not here"
)


def held_out() -> list[Entry]:
    """Photographs of adults that nothing was learnt from or chosen by."""
    found = []
    for entry in entries([DATA])[::SHARE]:
        too_young = entry.age is not None and entry.age < MIN_AGE
        if entry.source in FACE_CROPS + WITH_BACKGROUND and not too_young and entry.place:
            digest = hashlib.sha256(entry.place.read()).hexdigest()
            if entry.source == "gulf" or split_of(entry.identity or digest) == "test":
                found.append(entry)
    return found


def share_right(found: list[Answered]) -> float:
    return sum(each.right for each in found) / len(found)


@pytest.mark.parametrize(("name", "least"), [("fast", 0.93), ("accurate", 0.955), ("auto", 0.95)])
def test_a_shipped_model_is_right_on_held_out_photographs(name: str, least: float) -> None:
    models = [model.load(file) for file in model_file.read_models(name, "face")]
    found = list(answers(models, held_out()))
    crops = [each for each in found if each.entry.source in FACE_CROPS]
    others = [each for each in found if each.entry.source in WITH_BACKGROUND]
    print(f"{name}: {share_right(crops):.3f} of {len(crops)} face crops, "
          f"{share_right(others):.3f} of {len(others)} others right")  # fmt: skip
    assert len(crops) > 500
    assert len(others) > 80
    assert share_right(crops) >= least
    assert share_right(others) >= least - 0.03  # few of them, and a source not learnt from
    assert sum(each.decision.faces == 0 for each in found) <= 0.02 * len(found)
