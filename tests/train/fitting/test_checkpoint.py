import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from tests.train.build import DAMAGED, Killed, fitted
from train.data.prepared_set import Prepared
from train.fitting.recipe import Recipe


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_checkpoint_is_refused(
    content: bytes, prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(GdwatchError, match=r"checkpoint\.pt: not a checkpoint of this gdtrain"):
        fitted(prepared, recipe, tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before_intact(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        fitted(prepared, recipe, tmp_path, kill_at=(3, 2))
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with (
        largest_file(len(before) // 2),
        pytest.raises(
            GdwatchError, match=r"checkpoint\.pt: could not be written \(.*\); make room"
        ),
    ):
        fitted(prepared, recipe, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    assert len(fitted(prepared, recipe, tmp_path).history) == 4


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow further, as a full disk does. size: bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_best_epoch_is_of_the_size_that_the_network_is_used_with(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = fitted(prepared, recipe, tmp_path)
    run.history[0] = replace(run.history[0], val_balanced_accuracy=1.0)
    assert run.best_epoch.size == recipe.input
