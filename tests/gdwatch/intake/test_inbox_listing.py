import errno
import os
from pathlib import Path

import pytest

from gdwatch.errors import Trouble
from gdwatch.intake import inbox_listing
from gdwatch.intake.inbox_listing import Listing
from tests import build

NEEDED = 6  # descriptors for an inbox, a folder in it and one in that


def listed(root: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of the files in the inbox, and what has to stay there with the reason."""
    folders, settings = build.folders_of(root)
    stayed: list[tuple[str, str]] = []
    found = Listing(
        folders, settings, lambda path, why, _: stayed.append((Path(os.fsdecode(path)).name, why))
    ).files()
    return [Path(os.fsdecode(path)).name for path, _ in found], stayed


def test_a_folder_that_cannot_be_looked_into_is_named_and_closed_and_the_others_are_listed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.put(root, "trip/broken/a.jpg", b"1")
    build.put(root, "trip/whole/b.jpg", b"1")
    scandir = os.scandir

    def failing(handle: int) -> object:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("/broken"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return scandir(handle)

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patched:
        patched.setattr(inbox_listing.os, "scandir", failing)
        found = listed(root)
    assert found == (["b.jpg"], [("broken", "unreadable")])
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("left", range(NEEDED))
def test_a_listing_that_runs_out_of_descriptors_anywhere_is_trouble_and_closes_its_own(
    root: Path, left: int
) -> None:
    build.put(root, "trip/day/a.jpg", b"1")
    before = os.listdir("/proc/self/fd")
    with build.files_left_to_open(left), pytest.raises(Trouble, match="open files") as caught:
        listed(root)
    assert caught.value.reason == "open_files"
    assert os.listdir("/proc/self/fd") == before


def test_a_listing_needs_two_descriptors_a_level(root: Path) -> None:
    build.put(root, "trip/day/a.jpg", b"1")
    with build.files_left_to_open(NEEDED):
        assert listed(root) == (["a.jpg"], [])
