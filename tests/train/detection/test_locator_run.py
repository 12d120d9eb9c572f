from pathlib import Path

import pytest
import torch

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model
from gdwatch.inference.model import Model
from tests import build
from tests.train.build import DAMAGED, TINY_LOCATOR, faces_of
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.data.sources import entries
from train.detection import locator_run, train_locator


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_run_of_a_locator_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "locator.pt").write_bytes(content)
    with pytest.raises(GdwatchError, match=r"locator.pt: not a run of `gdtrain locate`") as told:
        locator_run.load(tmp_path)
    assert "\n" not in str(told.value)


def test_the_locator_of_a_model_file_serves_like_that_of_a_run(
    prepared: Prepared, tmp_path: Path
) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])
    splits = prepared_set.splits(prepared.folder)
    list(
        train_locator.fit(listed, splits, faces_of(data), TINY_LOCATOR, tmp_path / "run", workers=0)
    )
    of_run, network = locator_run.load(tmp_path / "run")
    shape = build.details(
        locator=network.model_dump(),
        preprocessing={"margin": 1.4, "mean": [0, 0, 0], "std": [1, 1, 1]},
    )
    model.save(tmp_path / "m.safetensors", Model(of_run, build.network(), shape, ""))
    of_file, same = locator_run.load(tmp_path / "m.safetensors")
    assert same == network
    thumbnails = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(of_run(thumbnails), of_file(thumbnails))
    with pytest.raises(UsageError, match="a model without a locator"):
        locator_run.load(build.model_file(tmp_path / "whole.safetensors"))
