"""Conditions of a healthy installation that machines rarely lack; `test_commands` has others."""

import ctypes
import errno
import os
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from gdwatch.filing import renaming
from gdwatch.jobs.installation import CHECKS
from tests import build


class Old:
    """A C library on a file system that does not know renames that never overwrite."""

    def renameat2(self, *_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1


def refused(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_moves_are_tried_as_photographs_are_moved(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = build.make_settings(root)
    before = sorted(root.rglob("*"))
    assert CHECKS["moves"](settings) == "moves work from the inbox to every answer folder"
    monkeypatch.setattr(renaming, "_libc", Old())
    assert CHECKS["moves"](settings) == "moves work from the inbox to every answer folder"
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refused)  # as exFAT by FUSE
        with pytest.raises(GdwatchError, match=r"neither a rename .* nor a hard link") as raised:
            CHECKS["moves"](settings)
    assert "ext4" in raised.value.hint
    assert sorted(root.rglob("*")) == before
