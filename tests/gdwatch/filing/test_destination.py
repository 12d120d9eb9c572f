from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.filing import destination
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from tests import build

MOMENT = datetime(2026, 11, 23, 18, 4, 5)


@pytest.fixture
def folders(root: Path) -> Folders:
    return build.folders_of(root)[0]


def test_the_target_keeps_the_path_below_the_inbox(folders: Folders) -> None:
    source = folders.inbox + b"/wedding/a.jpg"
    assert destination.target(folders, "female", source, "tree", MOMENT) == (
        folders.root + b"/female/wedding/a.jpg"
    )


def test_the_target_can_be_the_day(folders: Folders) -> None:
    source = folders.inbox + b"/wedding/a.jpg"
    assert destination.target(folders, "unsure", source, "date", MOMENT) == (
        folders.root + b"/unsure/2026/11/23/a.jpg"
    )


@pytest.mark.parametrize(
    ("name", "with_id"),
    [
        (b"IMG_1.jpg", b"IMG_1~7.jpg"),
        (b"no suffix", b"no suffix~7"),
        (b".hidden", b".hidden~7"),
        (b"two.dots.jpg", b"two.dots~7.jpg"),
        (b"end.", b"end~7."),
        (b"a." + b"s" * 40, b"a." + b"s" * 40 + b"~7"),
    ],
)
def test_the_id_stands_before_the_suffix(name: bytes, with_id: bytes) -> None:
    assert destination.with_id(name, 7) == with_id


names_ = st.binary(min_size=1, max_size=255).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@given(names_, st.integers(1, 2**63 - 1))
def test_a_name_with_an_id_is_a_name_that_a_file_may_have(name: bytes, file_id: int) -> None:
    made = destination.with_id(name, file_id)
    assert 0 < len(made) <= 255
    assert b"~%d" % file_id in made
    assert b"/" not in made
    assert made not in (b".", b"..")


@given(names_, st.integers(1, 10**9), st.integers(1, 10**9))
def test_one_name_with_two_ids_is_two_names(name: bytes, one: int, other: int) -> None:
    assert (destination.with_id(name, one) == destination.with_id(name, other)) == (one == other)


def free(folders: Folders, wanted: bytes, *, taken: bool = False) -> bytes:
    with Handles(folders) as handles:
        path = folders.root + b"/" + wanted
        known = {path} if taken else set()
        found = next(
            each
            for each in destination.candidates(handles, path, 7)
            if each not in known and handles.lstat(each) is None
        )
    return found.removeprefix(folders.root + b"/")


def test_a_free_name_stays_as_it_is(folders: Folders) -> None:
    assert free(folders, b"male/wedding/a.jpg") == b"male/wedding/a.jpg"


def test_a_name_that_the_ledger_knows_gets_the_id(folders: Folders) -> None:
    assert free(folders, b"male/a.jpg", taken=True) == b"male/a~7.jpg"


def test_a_name_that_lies_there_gets_the_id(folders: Folders, root: Path) -> None:
    (root / "male" / "a.jpg").mkdir()
    assert free(folders, b"male/a.jpg") == b"male/a~7.jpg"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_folder_name_that_is_taken_gets_the_id(folders: Folders, root: Path, kind: str) -> None:
    blocker = root / "male" / "wedding"
    blocker.write_bytes(b"") if kind == "file" else blocker.symlink_to(root)
    assert free(folders, b"male/wedding/church/a.jpg") == b"male/wedding~7/church/a.jpg"
