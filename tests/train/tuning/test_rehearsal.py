import numpy as np
import pytest

from gdwatch.errors import UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from train.tuning import rehearsal
from train.tuning.examples import face_network, old_weights


def shipped(name: str) -> Model:
    return model.load(model_file.read(model_file.find(name)))


@pytest.mark.parametrize("name", ["fast", "accurate"])
def test_the_rehearsal_of_a_shipped_model_is_of_faces_that_it_knows(name: str) -> None:
    loaded = shipped(name)
    known = rehearsal.find(loaded)
    network = face_network(loaded)
    assert network is not None
    right = (known.judges.logits(old_weights(network)) > 0) == known.male
    assert len(known.male) > 900
    assert len(known.rehearsed) > 800
    assert right.mean() > 0.92
    assert np.isfinite(known.rehearsed.seen).all()


def test_a_model_with_another_last_layer_has_the_same_rehearsal() -> None:
    loaded = shipped("fast")
    loaded.classifier.head.weight.data[0] *= 2  # type: ignore[union-attr, operator]
    assert len(rehearsal.find(loaded).male) == len(rehearsal.find(shipped("fast")).male)


def test_a_model_with_another_layer_has_none() -> None:
    loaded = shipped("fast")
    loaded.classifier.stem.weight.data[0] *= 2  # type: ignore[union-attr, operator]
    with pytest.raises(UsageError, match="differs from the shipped ones in more than its last"):
        rehearsal.find(loaded)
