"""The service's own words about itself, in ROOT/.gdwatch/status.json, for `gdwatch status`."""

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
    """What the service is doing. since: UTC, ISO 8601. skipped: by name, why it had to stay."""

    state: State
    reason: str | None = None
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    model: str | None = None
    skipped: dict[str, str] = field(default_factory=dict)


def write(state_folder: Path, status: Status) -> None:
    """Replace the file at one stroke; in place where the disk has no room for a second one."""
    content = json.dumps(asdict(status)).encode()
    try:
        with replacing(state_folder / _FILE) as aside:
            aside.write_bytes(content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        with (state_folder / _FILE).open("r+b") as file:  # the room that it has, it keeps
            file.write(content)
            file.truncate()


def read(state_folder: Path) -> Status | None:
    """What the service said last; None if it never did, or not in words of today."""
    try:
        return Status(**json.loads((state_folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
