from collections.abc import Callable
from pathlib import Path

from tests.train.build import Told


def test_an_unreadable_picture_is_named_on_standard_error(
    class_folders: Callable[[int], Path], tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    data = class_folders(2)
    (data / "male/bad.bmp").write_bytes(b"")
    told = gdtrain("prepare", data, "--out", tmp_path / "prepared")
    assert told.err == "gdtrain: male/bad.bmp: 0 bytes\n"
    assert told.out.endswith("unreadable 1\n")
