from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from train.atomic_files import make_folder, publish


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    with publish(file) as aside:
        aside.write_text("new")
        assert not file.exists()
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_ends_the_writing_leaves_the_file_before_alone(
    error: type[BaseException], tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def stopped_half_way() -> None:
        with publish(file) as aside:
            aside.write_text("half")
            raise error

    with pytest.raises(error):
        stopped_half_way()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gone" / "a.txt"
    with (
        pytest.raises(GdwatchError, match=r"a\.txt: could not be written \(No such file"),
        publish(file) as aside,
    ):
        aside.write_text("new")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GdwatchError, match=r"file/a: cannot be made a folder \(not a directory\)"):
        make_folder(tmp_path / "file" / "a")
