"""The root folder: made at the first start, recognised at every other."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from gdwatch.errors import ActionNeeded
from gdwatch.files.atomic_write import replacing_durably
from gdwatch.files.users import name_of
from gdwatch.root.folders import Folders

_MARKER = "root-id"


def make_state(folders: Folders, has_rows: Callable[[], bool]) -> None:
    """Make the folder in which the lock is, and nothing else: others may be starting, too.

    has_rows: whether there is a ledger with files in it; asked where the root has no id.

    Raises ActionNeeded if the folder cannot be written, or the ledger belongs to another root.
    """
    marker = folders.state / _MARKER
    # Looked for again: a first start that goes on meanwhile makes the mark before any row.
    if not marker.is_file() and has_rows() and not marker.is_file():
        raise ActionNeeded(
            f"{marker}: missing, but the ledger has rows",
            "is the right disk mounted? put root-id back, or move the ledger away",
        )
    with _named():
        folders.state.mkdir(parents=True, exist_ok=True)
    _require_writable(os.fsencode(folders.state))


def prepare(folders: Folders) -> str:
    """Make what a first start needs, and return the root's id; for who holds the lock.

    Raises ActionNeeded if a folder cannot be written.
    """
    marker = folders.state / _MARKER
    with _named():
        if not marker.is_file():
            # A missing inbox pauses later starts: it may be a disk that is not mounted.
            Path(os.fsdecode(folders.inbox)).mkdir(parents=True, exist_ok=True)
            _write_marker(marker)
        for path in folders.answers.values():
            Path(os.fsdecode(path)).mkdir(parents=True, exist_ok=True)
    for path in (folders.inbox, *folders.answers.values()):
        _require_writable(path)
    return read_id(folders)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    """Name the folder that could not be made."""
    try:
        yield
    except OSError as error:
        raise ActionNeeded(
            f"folder {error.filename}: {(error.strerror or str(error)).lower()}",
            f"make it writable for {name_of(os.geteuid())}, or set `root` elsewhere",
        ) from error


def read_id(folders: Folders) -> str:
    """The root's id. Raises ActionNeeded if this is no root of gdwatch."""
    try:
        return (folders.state / _MARKER).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ActionNeeded(
            f"{os.fsdecode(folders.root)}: no root of gdwatch ({error.strerror})",
            "name one with --root, or start `gdwatch run` there once",
        ) from error


def require_own(folders: Folders) -> None:
    """Raise ActionNeeded unless the root belongs to the user that runs this.

    A ledger written by another user, root above all, would lock the service out.
    """
    try:
        owner = folders.state.stat().st_uid
    except FileNotFoundError:
        return
    except OSError as error:
        raise ActionNeeded(
            f"{os.fsdecode(folders.root)}: {(error.strerror or str(error)).lower()}",
            "run it as the user of the service",
        ) from error
    if owner != os.geteuid():
        name = name_of(owner)
        raise ActionNeeded(
            f"{os.fsdecode(folders.root)}: belongs to {name}, you are another user",
            f"run it as that user: sudo -u {name} gdwatch …",
        )


def _write_marker(marker: Path) -> None:
    # Durably: rows may outlive a power cut, and without the mark they would stop every start.
    with replacing_durably(marker) as aside:
        aside.write_text(f"{uuid.uuid4()}\n", encoding="ascii")


def _require_writable(path: bytes) -> None:
    if Path(os.fsdecode(path)).is_dir() and not os.access(path, os.W_OK | os.X_OK):
        raise ActionNeeded(
            f"folder {os.fsdecode(path)}: cannot be written",
            f"make it writable for {name_of(os.geteuid())}",
        )
