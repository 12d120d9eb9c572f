"""The root's id, in the marker file `root-id`: written at the first start, then required."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from gdwatch.errors import ActionNeeded
from gdwatch.files.atomic_write import replacing_durably
from gdwatch.files.users import name_of
from gdwatch.root.folders import Folders
from gdwatch.values import Mode

_MARKER = "root-id"


def make_state(folders: Folders, has_rows: Callable[[], bool]) -> None:
    """Create the state folder, which holds the lock file, and nothing else.

    Another process may be starting too: all else is created under the lock, by `prepare`.

    has_rows: whether a ledger with rows exists; called if the root has no marker.

    Raises ActionNeeded if the folder cannot be written, or the marker is missing but has_rows().
    """
    marker = folders.state / _MARKER
    # Checked again: a concurrent first start writes the marker before any row.
    if not marker.is_file() and has_rows() and not marker.is_file():
        raise ActionNeeded(
            f"{marker}: missing, but the ledger has rows",
            "is the right disk mounted? put root-id back, or move the ledger away; "
            "`gdwatch db join` makes a new root that shares the ledger",
        )
    with _naming_the_folder():
        folders.state.mkdir(parents=True, exist_ok=True)
    _require_writable(os.fsencode(folders.state))


def prepare(folders: Folders, mode: Mode = "move") -> str:
    """Create the marker, inbox and answer folders of a first start; returns the root's id.

    mode: only to move photographs must the inbox be writable.
    The caller holds the lock. Raises ActionNeeded if a folder cannot be created or written.
    """
    marker = folders.state / _MARKER
    with _naming_the_folder():
        if not marker.is_file():
            # Only at the first start: later a missing inbox may be an unmounted disk, and pauses.
            Path(os.fsdecode(folders.inbox)).mkdir(parents=True, exist_ok=True)
            _write_marker(marker)
        for path in folders.answers.values():
            Path(os.fsdecode(path)).mkdir(parents=True, exist_ok=True)
    for path in folders.answers.values():
        _require_writable(path)
    if mode == "move":
        _require_writable(folders.inbox)
    return read_id(folders)


@contextlib.contextmanager
def _naming_the_folder() -> Iterator[None]:
    """Turn an OSError into ActionNeeded that names the folder."""
    try:
        yield
    except OSError as error:
        raise ActionNeeded(
            f"folder {error.filename}: {(error.strerror or str(error)).lower()}",
            f"make it writable for {name_of(os.geteuid())}, or set `root` elsewhere",
        ) from error


def is_missing(folders: Folders) -> bool:
    """Whether the root has no id, as before its first start."""
    return not (folders.state / _MARKER).is_file()


def read_id(folders: Folders) -> str:
    """Return the root's id. Raises ActionNeeded if the folder is not a root of gdwatch."""
    try:
        return (folders.state / _MARKER).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ActionNeeded(
            f"{os.fsdecode(folders.root)}: no root of gdwatch ({error.strerror})",
            "name one with --root, or start `gdwatch run` there once",
        ) from error


def require_own(folders: Folders) -> None:
    """Raise ActionNeeded if the state folder exists and belongs to another user.

    Ledger files created by another user, above all by root, would lock the service out.
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
    # Rows may survive a power cut; without the marker they would then stop every start.
    with replacing_durably(marker) as aside:
        aside.write_text(f"{uuid.uuid4()}\n", encoding="ascii")


def _require_writable(path: bytes) -> None:
    if Path(os.fsdecode(path)).is_dir() and not os.access(path, os.W_OK | os.X_OK):
        raise ActionNeeded(
            f"folder {os.fsdecode(path)}: cannot be written",
            f"make it writable for {name_of(os.geteuid())}",
        )
