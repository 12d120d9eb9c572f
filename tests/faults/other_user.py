"""Makes a run another user's, on machines too where that one cannot reach Python or the repository.

Kept apart from `surroundings`: what a run imports must not be heavy.
"""

import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.launch import REPOSITORY

_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 47, 2
_CAPABILITY_VERSION = 0x20080522


def become(uid: int, aside: str, capabilities: Sequence[int] = ()) -> None:
    """In a run's process, before its command: be this user alone.

    capabilities: that it keeps, by number, as a service has those of `AmbientCapabilities=`.
    """
    open_the_way(aside)
    for log in (1, 2):
        os.fchown(log, uid, uid)
    os.setgroups([])
    os.setgid(uid)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setuid(uid)
    some = sum(1 << number for number in capabilities)
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    assert libc.capset(header, struct.pack("6I", some, some, some, 0, 0, 0)) == 0
    for number in capabilities:
        assert libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0) == 0


def closed() -> dict[Path, Path]:
    """What a run needs of this machine and other users cannot reach: by what lets nobody in."""
    barred = {}
    for needed in (Path(sys.base_prefix), REPOSITORY):
        for folder in reversed((needed, *needed.parents)):
            if not folder.stat().st_mode & 0o001:
                barred[needed] = folder
                break
    return barred


def open_the_way(aside: str) -> None:
    """Show this process and its children an open folder in the place of each closed one."""
    if closed():
        _mount_over_closed(Path(aside))


def _mount_over_closed(aside: Path) -> None:
    new_mounts = 0x20000  # CLONE_NEWNS
    if ctypes.CDLL(None, use_errno=True).unshare(new_mounts) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _run("mount", "--make-rprivate", "/")
    barred = closed()
    for number, needed in enumerate(barred):
        (aside / f"needed-{number}").mkdir(exist_ok=True)
        _run("mount", "--bind", needed, aside / f"needed-{number}")
    for folder in set(barred.values()):
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "gdwatch-test", folder)
    for number, needed in enumerate(barred):
        needed.mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", aside / f"needed-{number}", needed)


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True)
