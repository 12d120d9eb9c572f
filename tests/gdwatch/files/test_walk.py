import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gdwatch.files.walk import Unlisted, any_of, files_below
from gdwatch.settings import IGNORED


def names(folder: Path, *ignored: str) -> list[str]:
    """What the walk finds, relative to the folder; of what cannot be listed, why."""
    return [
        each.why
        if isinstance(each, Unlisted)
        else os.fsdecode(os.path.relpath(each, bytes(folder)))
        for each in files_below(bytes(folder), ignored)
    ]


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")


def test_files_come_sorted_by_name_and_a_folder_is_walked_where_its_name_stands(
    tmp_path: Path,
) -> None:
    put(tmp_path, "c.jpg", "b/2.jpg", "b/10.jpg", "b/a/x.jpg", "a.jpg", "b.jpg", "Z.jpg")
    assert names(tmp_path) == [
        "Z.jpg", "a.jpg", "b/10.jpg", "b/2.jpg", "b/a/x.jpg", "b.jpg", "c.jpg"
    ]  # fmt: skip


def test_what_the_patterns_name_is_passed_over_folders_with_all_in_them(tmp_path: Path) -> None:
    put(tmp_path, ".DS_Store", "a.jpg", "a.tmp", ".trash/b.jpg", "trip/.hidden", "trip/c.jpg")
    assert names(tmp_path, ".*", "*.tmp") == ["a.jpg", "trip/c.jpg"]


def test_a_pattern_says_nothing_of_the_folder_that_was_asked_for(tmp_path: Path) -> None:
    put(tmp_path, ".root/a.jpg")
    assert names(tmp_path / ".root", ".*") == ["a.jpg"]


def test_links_are_not_followed_and_only_regular_files_are_found(tmp_path: Path) -> None:
    put(tmp_path, "outside/a.jpg", "folder/b.jpg")
    (tmp_path / "folder" / "file").symlink_to(tmp_path / "outside" / "a.jpg")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "folder" / "round").symlink_to(tmp_path / "folder")
    (tmp_path / "folder" / "nowhere").symlink_to("nowhere")
    os.mkfifo(tmp_path / "folder" / "fifo")
    with socket.socket(socket.AF_UNIX) as channel:
        channel.bind(str(tmp_path / "folder" / "socket"))
        assert names(tmp_path / "folder") == ["b.jpg"]


def test_any_name_that_the_kernel_takes_is_found(tmp_path: Path) -> None:
    odd = bytes(tmp_path) + b"/a\n\xff.jpg"
    Path(os.fsdecode(odd)).write_bytes(b"")
    assert list(files_below(bytes(tmp_path), ())) == [odd]
    assert list(files_below(bytes(tmp_path) + b"/", ())) == [odd]


def test_a_folder_that_cannot_be_listed_stands_in_its_place_and_the_others_are_walked(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a.jpg", "b/1.jpg", "c/2.jpg")
    walk = files_below(bytes(tmp_path), ())
    assert next(walk) == bytes(tmp_path / "a.jpg")
    (tmp_path / "b" / "1.jpg").unlink()
    (tmp_path / "b").rmdir()  # after its name was read
    assert list(walk) == [
        Unlisted(bytes(tmp_path / "b"), "No such file or directory"),
        bytes(tmp_path / "c" / "2.jpg"),
    ]


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A folder with more levels below it than Python has frames, a file at each end."""
    top, steps = tmp_path / "deep", ["d"] * 1500
    (top / "z.jpg").parent.mkdir()
    path = str(top)
    for step in steps:
        path += f"/{step}"
        os.mkdir(path)
    for name in (f"{top}/z.jpg", f"{path}/a.jpg"):
        Path(name).write_bytes(b"")
    yield top
    os.unlink(f"{path}/a.jpg")
    while len(path) > len(str(top)):
        os.rmdir(path)
        path = path.rpartition("/")[0]


def test_a_tree_may_be_deeper_than_python_can_recurse(deep: Path) -> None:
    first, second = names(deep)
    assert (first.count("/"), first[-5:], second) == (1500, "a.jpg", "z.jpg")


def test_a_path_that_is_too_long_for_the_kernel_ends_nothing(tmp_path: Path) -> None:
    step = "d" * 250
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(20):
        os.mkdir(step, dir_fd=folder)
        below = os.open(step, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    put(tmp_path, "z.jpg")
    assert names(tmp_path) == ["File name too long", "z.jpg"]


LEFT_BEHIND = [
    *("@eaDir", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", ".@__thumb", ".Trash-1000"),
    *("Thumbs.db", "THUMBS.DB", "Desktop.ini", "desktop.ini", "System Volume Information"),
    *("x.jpg.part", "X.JPG.PART", "a.download", "a.opdownload", "a.aria2", "a.!qB", "a.!ut"),
    *("a.Crdownload", "a.TMP", "~lock", ".DS_Store"),
]


def test_what_disks_browsers_and_file_managers_leave_behind_is_ignored_in_capitals_or_not() -> None:
    ignored = any_of(IGNORED)
    assert [name for name in LEFT_BEHIND if not ignored.match(name)] == []
    kept = ["a.jpg", "downloads", "part.jpg", "eaDir", "IMG_1.JPG", "a.tmp.jpg", "$1.jpg", "#1.jpg"]
    assert [name for name in kept if ignored.match(name)] == []
    assert any_of(()).match("") is None
