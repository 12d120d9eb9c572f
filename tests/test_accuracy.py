"""The shipped model on real photographs, where they are; none is in the project."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gdwatch import model, model_file
from gdwatch.decode import Limits, decode
from gdwatch.engine import Engine
from train.measures import balanced_accuracy
from train.prepare import split_of
from train.sources import entries

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
FACE_CROPS = ("utk", "imdb", "wiki", "celeb", "crops")
MIN_AGE = 10
SHARE = 4  # every fourth of the held-out pictures: enough to be sure of two points

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the photographs that the model is measured on are not here"
)


def held_out():
    """Face crops that nothing was learnt from or chosen by: content and label."""
    import hashlib

    for entry in entries([DATA])[::SHARE]:
        too_young = entry.age is not None and entry.age < MIN_AGE
        if entry.source in FACE_CROPS and not too_young and entry.place is not None:
            content = entry.place.read()
            digest = hashlib.sha256(content).hexdigest()
            if (entry.split or split_of(entry.identity or digest)) == "test":
                yield content, entry.label


def test_the_shipped_model_is_right_on_nine_of_ten_held_out_face_crops():
    file = model_file.read(model_file.find("fast"))
    loaded = model.load(file)
    engine = Engine(
        loaded.classifier, torch.device("cpu"), temperature=file.details.temperature, borders=(0.5,)
    )
    side = file.details.classifier.input
    contents, labels = zip(*held_out(), strict=True)
    photos = np.stack([decode(content, Limits(10**7), side)[1] for content in contents])
    p_male = np.array(
        [
            p
            for start in range(0, len(photos), 32)
            for p in engine.judge(photos[start : start + 32])[0]
        ]
    )
    measured = balanced_accuracy(p_male >= 0.5, np.array(labels) == "male")
    print(f"balanced accuracy {measured:.3f} on {len(labels)} held-out face crops")
    assert len(labels) > 500
    assert measured >= 0.90
