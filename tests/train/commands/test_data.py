import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.train.build import Told, photograph


def test_an_unreadable_picture_is_named_on_standard_error(
    class_folders: Callable[[int], Path], tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    data = class_folders(2)
    (data / "male/bad.bmp").write_bytes(b"")
    told = gdtrain("prepare", data, "--out", tmp_path / "prepared")
    assert told.err == "gdtrain: male/bad.bmp: empty (0 bytes)\n"
    assert told.out.endswith("unreadable 1\n")


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "PNG", "BMP"])
def test_half_a_picture_is_said_to_be_truncated(
    class_folders: Callable[[int], Path], tmp_path: Path, gdtrain: Callable[..., Told], format_: str
) -> None:
    data = class_folders(2)
    stream = io.BytesIO()
    photograph("half").save(stream, format_)
    (data / "male/half").write_bytes(stream.getvalue()[: stream.tell() // 2])
    told = gdtrain("prepare", data, "--out", tmp_path / "prepared")
    assert told.err.startswith("gdtrain: male/half: truncated (")
    assert "decoder object" not in told.err
