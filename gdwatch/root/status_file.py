"""The status that the service writes to ROOT/.gdwatch/status.json, for `gdwatch status`."""

import errno
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from gdwatch.files.atomic_write import replacing

_FILE = "status.json"
State = Literal["stopped", "running", "paused"]


@dataclass(frozen=True, slots=True)
class Status:
    """What the service is doing.

    since: UTC, ISO 8601. skipped: files that have to stay in the inbox, by path, with the reason.
    lines_dropped: of the log, which could not be written.
    unwatched: folders of the inbox that the kernel would not watch.
    watch_remedy: the command that mends it.
    """

    state: State
    reason: str | None = None
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    model: str | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    lines_dropped: int = 0
    unwatched: int = 0
    watch_remedy: str = ""


def write(state_folder: Path, status: Status) -> None:
    """Replace the status file atomically; on a full disk, overwrite it in place. Raises OSError."""
    content = json.dumps(asdict(status)).encode()
    try:
        with replacing(state_folder / _FILE) as aside:
            aside.write_bytes(content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        with (state_folder / _FILE).open("r+b") as file:  # its blocks are allocated already
            file.write(content)
            file.truncate()


def read(state_folder: Path) -> Status | None:
    """Return the last status; None if there is none, or another version's fields are in it."""
    try:
        return Status(**json.loads((state_folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
