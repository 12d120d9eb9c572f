"""What the scenarios do to the surroundings of a run, and how they see that it waits and heals."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.build import wait_until
from tests.faults.case import Case
from tests.faults.launch import Run, call
from tests.faults.other_user import closed

NOBODY = 65534


# ------------------------------------------------------------------------- a run that waits


def ready(case: Case, **how: Any) -> Run:
    """Start a service, and wait until it is ready."""
    run = case.start("run", **how)
    wait_for(run, "service.ready")
    return run


def wait_for(run: Run, event: str, count: int = 1) -> list[dict[str, Any]]:
    """What it has logged of this kind, once that is so many lines."""

    def logged() -> list[dict[str, Any]]:
        found = run.events(event)
        assert len(found) >= count or run.status is None, run.text()
        return found if len(found) >= count else []

    return wait_until(logged, f"{event} in the log of process {run.pid}")


def pauses(case: Case, run: Run, *reasons: str) -> dict[str, Any]:
    """Wait until a service pauses for one of these reasons; all that is dropped is still there.

    Returns what `gdwatch status` says.
    """
    paused = wait_for(run, "service.paused")[-1]
    assert paused["reason"] in reasons, run.text()
    assert paused["hint"]
    case.look_after_fault()
    return status(case)


def status(case: Case) -> dict[str, Any]:
    asked = case.run("status", "--json")
    answer: dict[str, Any] = json.loads(asked.answer())
    return answer


def heals(case: Case, run: Run) -> None:
    """The service works its backlog off by itself; the pause was told once, and once a minute."""
    case.wait_until_filed(run)
    (resumed,) = wait_for(run, "service.resumed")
    lines = len(run.events("service.paused"))
    reasons = len({each["reason"] for each in run.events("service.paused")})
    assert lines <= reasons + resumed["after_s"] / 60, run.text()
    # At the start, after the pause, and at whatever lay there in its place before.
    assert len(run.events("watch.started")) <= 2 + len(run.events("watch.lost")), run.text()
    case.count.faults += 1
    stop(run)


def stop(run: Run) -> None:
    run.send(signal.SIGTERM)
    assert run.wait() == 0, run.text()


def refused(case: Case, run: Run, *words: str, status: int = 78) -> str:
    """The one line with which a start ended that was refused; no row and no file has changed."""
    assert run.wait() == status, run.text()
    lines = [line for line in run.lines() if line.startswith("gdwatch: ")]
    assert len(lines) == 1, run.text()
    assert all(word in lines[0] for word in words), lines[0]
    case.count.faults += 1
    case.look_after_fault()
    return lines[0]


# ------------------------------------------------------------------------- disks and folders


@contextlib.contextmanager
def small_disk(path: Path, options: str) -> Iterator[Callable[[str], None]]:
    """A file system in memory at a folder; yields what gives it another size."""
    _mount("-t", "tmpfs", "-o", options, "gdwatch-test", path)

    def remount(options: str) -> None:
        _mount("-o", f"remount,{options}", path)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def read_only(path: Path, how: str) -> Iterator[None]:
    """Nothing can be written in a folder. how: `immutable`, `mount` or `mode`."""
    before = path.stat().st_mode
    if how == "immutable":
        skip_unless_allowed("chattr", "+i", path)
    elif how == "mount":
        _mount("--bind", path, path)
        _mount("-o", "remount,bind,ro", path)
    else:
        path.chmod(0o555)
    try:
        yield
    finally:
        if how == "immutable":
            subprocess.run(["chattr", "-i", path], check=True)
        elif how == "mount":
            subprocess.run(["umount", "-l", path], check=True)
        else:
            path.chmod(before)


def _mount(*words: str | Path) -> None:
    skip_unless_allowed("mount", *words)


def skip_unless_allowed(*words: str | Path) -> None:
    """Run a command that not every machine allows."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"not allowed here: {' '.join(map(str, words))}: {done.stderr.strip()}")


# ------------------------------------------------------------------------- other users


def another_user(case: Case, capabilities: Sequence[int] = ()) -> Mapping[str, Any]:
    """The call that makes a run another user's, who may look into the root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    for path in (case.folder, case.model):
        for folder in path.parents:
            if folder.stat().st_mode & 0o777 == 0o700:  # as pytest makes its own
                folder.chmod(0o755)
    if closed():
        skip_unless_allowed("unshare", "--mount", "true")
    return call("tests.faults.other_user:become", uid=NOBODY, aside=str(case.folder / "aside"),
                capabilities=list(capabilities))  # fmt: skip


def give_to_nobody(case: Case, capabilities: Sequence[int] = ()) -> Mapping[str, Any]:
    """Give the root to another user; returns the call that makes a run that user's."""
    become_nobody = another_user(case, capabilities)
    for path in (case.folder, case.root, *case.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return become_nobody


# ------------------------------------------------------------------------- other programs


def under(program: str, *words: str) -> Sequence[str]:
    """The beginning of a command that runs another one under this program."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return (found, *words)
