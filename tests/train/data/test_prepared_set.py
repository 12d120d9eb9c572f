import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from train.data import prepared_set
from train.data.prepare import prepare, split_of


def test_about_84_8_and_8_of_a_hundred_are_in_train_val_and_test() -> None:
    splits = [split_of(str(number)) for number in range(10_000)]
    shares = [splits.count(split) / 10_000 for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.84, 0.08, 0.08], abs=0.01)


def test_the_split_of_a_name_never_changes() -> None:
    names = [f"name {number}" for number in range(20)]
    digest = hashlib.sha256(" ".join(map(split_of, names)).encode()).hexdigest()
    assert digest.startswith("a5c6da4420e7")


def test_a_folder_that_was_not_prepared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GdwatchError, match="not a prepared folder"):
        prepared_set.load(tmp_path)


def test_hashes_that_are_gone_are_an_error(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    prepare([class_folders(1)], tmp_path / "out")
    (tmp_path / "out/hashes.npy").unlink()
    with pytest.raises(GdwatchError, match=r"no hashes\.npy .*; make it with `gdtrain prepare`"):
        prepared_set.load_hashes(tmp_path / "out")
