"""Pictures in folders and in storages: what is listed, what is refused, what is tried again."""

import os
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra `ray`")

from gdwatch.cluster import storage
from gdwatch.cluster.storage import Picture, StorageFailed
from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.values import Refusal
from tests.gdwatch.cluster.faulty import faulty

PATTERNS = (".*", "*.part")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)


def test_a_folder_is_listed_in_depth_sorted_without_what_is_ignored(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.jpg", "a.jpg", "c.part", ".hidden/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    found = list(storage.pictures(str(tmp_path), PATTERNS))
    assert [each.path.removeprefix(f"{tmp_path}/") for each in found] == [
        "a.jpg", "b/1.jpg", "b/2.jpg"
    ]  # fmt: skip
    assert {each.size_bytes for each in found} == {1}


def test_a_name_that_is_no_text_is_listed_and_read(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9 \\ \n.jpg")).write_bytes(b"content")
    (found,) = storage.pictures(str(tmp_path), ())
    assert found.path == f"{tmp_path}/caf\\xe9 \\\\ \\x0a.jpg"
    assert storage.read([found], 100) == [b"content"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(GdwatchError, match="nowhere"):
        list(storage.pictures(str(tmp_path / "nowhere"), ()))


def test_a_storage_that_nobody_knows_is_named() -> None:
    with pytest.raises(ActionNeeded, match="cloud://a"):
        storage.place("cloud://a/b")


def test_what_concerns_one_picture_refuses_that_alone(tmp_path: Path) -> None:
    for name in ("a", "large"):
        (tmp_path / name).write_bytes(b"12345678")
    (tmp_path / "folder").mkdir()
    asked = [Picture(f"{tmp_path}/{name}", size) for name, size in
             (("a", 8), ("gone", 8), ("large", 9), ("folder", None), ("a", None))]  # fmt: skip
    a, gone, large, folder, again = storage.read(asked, 8)
    assert (a, again) == (b"12345678", b"12345678")
    assert [each.reason for each in (gone, large, folder) if isinstance(each, Refusal)] == [
        "unreadable", "too_many_bytes", "unreadable"
    ]  # fmt: skip


def test_a_storage_with_errors_is_asked_again() -> None:
    with faulty(3) as url:
        missing, picture = storage.read(
            [Picture(f"{url}/missing", None), Picture(f"{url}/a", 3)], 9
        )
    assert isinstance(missing, Refusal)
    assert picture == b"abc"


def test_a_storage_that_goes_on_failing_is_an_error_that_names_the_picture() -> None:
    with faulty(1000) as url, pytest.raises(StorageFailed, match="/a: ") as failed:
        storage.read([Picture(f"{url}/a", 3)], 9)
    assert "again" in failed.value.hint


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([], []), ([1] * 65, [64, 1]), ([None] * 2, [2]), ([40 << 20] * 3, [1, 1, 1])],
)
def test_slices_are_bounded_in_number_and_bytes(sizes: list, expected: list) -> None:
    pictures = [Picture(str(number), size) for number, size in enumerate(sizes)]
    found = list(storage.slices(pictures))
    assert [len(each) for each in found] == expected
    assert [each for part in found for each in part] == pictures
