from pathlib import Path

import pytest
import torch

from gdwatch.errors import UsageError
from gdwatch.networks.folding import fold
from gdwatch.networks.locator import Locator
from tests.train.build import TINY_LOCATOR
from train.detection.locator_run import load
from train.detection.unfolding import unfold

SHAPE = TINY_LOCATOR.network.model_dump()
SEEN = torch.randint(0, 256, (4, 3, 64, 64), generator=torch.manual_seed(0)).to(torch.uint8)


def test_a_training_may_begin_with_a_shipped_model_by_its_name() -> None:
    locator, described = load(Path("fast"))
    assert (locator.out.out_channels, described.input) == (15, 160)  # with landmarks


def test_a_deeper_locator_with_landmarks_answers_at_first_as_the_one_it_begins_with() -> None:
    finished = Locator(**SHAPE, threshold=0.5).eval()
    fold(finished)
    deeper = Locator(**{**SHAPE, "blocks": [1, 0, 1], "landmarks": True}, threshold=0.5)
    unfold(deeper, finished, SEEN)
    with torch.inference_mode():
        assert torch.allclose(deeper.eval()(SEEN)[:, :5], finished(SEEN), atol=1e-3)


def test_a_locator_of_other_widths_cannot_be_begun_with() -> None:
    wider = Locator(**{**SHAPE, "widths": [4, 8, 4]}, threshold=0.5)
    with pytest.raises(UsageError, match="other widths"):
        unfold(wider, Locator(**SHAPE, threshold=0.5), SEEN)
