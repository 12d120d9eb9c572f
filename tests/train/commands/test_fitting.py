from collections.abc import Callable
from pathlib import Path

from tests.train.build import Told
from train.data.prepared_set import Prepared


def test_a_whole_command_names_the_bad_recipe(
    prepared: Prepared, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    told = gdtrain("fit", prepared.folder, "--recipe", "sed", "--out", tmp_path / "run")
    assert told.status == 2
    assert told.err.startswith(
        "gdtrain: recipe sed: no such file; name one of accurate, default, distil,"
    )
    assert not (tmp_path / "run").exists()
