from dataclasses import replace

import numpy as np
import pytest
import torch

from gdwatch.errors import GdwatchError
from gdwatch.inference.model import Model
from gdwatch.inference.predictor import PlainPredictor
from gdwatch.networks import quantised
from gdwatch.networks.folding import fold
from gdwatch.networks.locator import Locator
from gdwatch.networks.pooled import PooledClassifier
from gdwatch.networks.quantised import ranged
from tests import build
from train.export.ranges import with_ranges

CPU = torch.device("cpu")
ARGUMENTS = {"widths": [8, 16], "blocks": [1, 2]}


def photographs(count: int, brightness: int = 255) -> list[np.ndarray]:
    dice = np.random.default_rng(0)
    return [dice.integers(0, brightness + 1, (90, 120, 3)).astype(np.uint8) for _ in range(count)]


@pytest.fixture
def untrained() -> Model:
    """Random weights that answer something, with a locator that sees a face everywhere."""
    torch.manual_seed(0)
    arguments = dict(build.located().locator.arguments)
    locator = Locator(**arguments).eval()
    fold(locator)
    locator.threshold = 0.0
    details = build.located()
    details = details.model_copy(
        update={
            "classifier": details.classifier.model_copy(
                update={"arch": "pooled", "arguments": ARGUMENTS, "input": 64}
            ),
            "locator": details.locator.model_copy(
                update={"arguments": {**arguments, "threshold": 0.0, "folded": True}}
            ),
        }
    )
    colour = details.preprocessing
    classifier = PooledClassifier(mean=colour.mean, std=colour.std, **ARGUMENTS).eval()
    return Model(locator, classifier, details, "")


def ranges_of(found: Model) -> tuple[dict[str, float] | None, dict[str, float] | None]:
    locator = found.details.locator
    return found.details.classifier.ranges, locator and locator.ranges


def test_every_layer_of_both_networks_has_a_range(untrained: Model) -> None:
    found = with_ranges(untrained, [photographs(5), photographs(3)])
    assert found.is_ranged
    of_classifier, of_locator = ranges_of(found)
    assert untrained.locator is not None
    assert list(of_classifier or {}) == ranged(untrained.classifier)
    assert list(of_locator or {}) == ranged(untrained.locator)


def test_a_range_holds_all_but_a_few_results_of_each_photograph(untrained: Model) -> None:
    details = untrained.details.model_copy(update={"locator": None})
    squares = [each[:64, :64] for each in photographs(6)]
    found = with_ranges(replace(untrained, locator=None, details=details), [squares])
    of_classifier, _ = ranges_of(found)
    network = untrained.classifier
    assert isinstance(network, PooledClassifier)
    with torch.inference_mode():
        seen = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
        results = torch.relu(network.stem(network.normalised(seen))).flatten(1)
    assert of_classifier is not None
    above = (results > of_classifier["stem"] * 1.001).float().mean(1)
    assert 0 < above.max() <= 0.0006


def test_the_largest_of_all_batches_counts(untrained: Model) -> None:
    bright, both, dark = (
        ranges_of(with_ranges(untrained, batches))[0]
        for batches in (
            [photographs(4)],
            [photographs(4), photographs(4, brightness=9)],
            [photographs(4, brightness=9)],
        )
    )
    assert bright is not None
    assert dark is not None
    assert both is not None
    assert both == {name: max(bright[name], dark[name]) for name in bright}
    assert dark["stem"] < bright["stem"] / 3


@pytest.mark.skipif(not quantised.is_fast(), reason="this processor has no AVX2")
def test_a_model_with_ranges_answers_nearly_the_same_in_bytes(untrained: Model) -> None:
    found = with_ranges(untrained, [photographs(8)])
    exact = PlainPredictor(found, CPU, borders=(0.5,), precision=torch.float32)
    bytes_ = PlainPredictor(found, CPU, borders=(0.5,))
    assert bytes_.precision is torch.uint8
    squares = np.stack([each[:64, :64] for each in photographs(8)])
    wanted, _ = exact.classify(squares)
    answers, _ = bytes_.classify(squares)
    said, exactly = ([each.p_male for each in some] for some in (answers, wanted))
    assert said == pytest.approx(exactly, abs=0.02)
    assert said != exactly


def test_what_cannot_be_quantised_has_no_ranges() -> None:
    plain = Model(None, build.network(), build.details(), "")
    squares = [np.zeros((build.SIDE, build.SIDE, 3), np.uint8)] * 2
    found = with_ranges(plain, [squares])
    assert ranges_of(found) == (None, None)
    assert not found.is_ranged


def test_without_a_photograph_there_are_no_ranges(untrained: Model) -> None:
    with pytest.raises(GdwatchError, match="no photographs"):
        with_ranges(untrained, [])
