"""Makes a run another user's, on machines too where that one cannot reach Python or the repository.

Kept apart from `surroundings`: what a run imports must not be heavy.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from tests.faults.launch import REPOSITORY


def become(uid: int, aside: str) -> None:
    """In a run's process, before its command: be this user alone."""
    if closed():
        _open_the_way(Path(aside))
    for log in (1, 2):
        os.fchown(log, uid, uid)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def closed() -> dict[Path, Path]:
    """What a run needs of this machine and other users cannot reach: by what lets nobody in."""
    barred = {}
    for needed in (Path(sys.base_prefix), REPOSITORY):
        for folder in reversed((needed, *needed.parents)):
            if not folder.stat().st_mode & 0o001:
                barred[needed] = folder
                break
    return barred


def _open_the_way(aside: Path) -> None:
    """Show this process and its children an open folder in the place of a closed one."""
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
