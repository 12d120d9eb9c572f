"""Files that were refused as the beginning of a picture would be: they wait for their writer."""

import time
from collections.abc import Iterable

from gdwatch.intake.opening import is_being_written
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.values import Batch, Drop, Identity

UNFINISHED = ("empty", "not_an_image", "truncated", "damaged")
_WRITER_S = 3600.0  # how long one waits for a process that has it open, such as a resting upload
WRITER_HINT = "it is judged when its writer has closed it, or after an hour without a change"


def may_be_unfinished(reason: str | None, waited_s: float) -> bool:
    """Whether a file was refused as the beginning of a picture would be, and may wait on.

    waited_s: since it was first refused with these bytes.
    """
    return reason in UNFINISHED and waited_s < _WRITER_S


class UnfinishedFiles:
    """Since when each file has been refused with the bytes that it has now."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._since_s: dict[bytes, tuple[Identity, float]] = {}  # by path; monotonic

    def being_written(self, batches: Iterable[Batch]) -> set[bytes]:
        """Return the paths of files that are no whole pictures yet, and have a writer."""
        judged = [each for batch in batches for each in batch.judged]
        unfinished = [
            each.opened.drop.path
            for each in judged
            if may_be_unfinished(each.decision.reason, self._waited_s(each.opened.drop))
        ]
        with Handles(self._folders) as handles:
            return {path for path in unfinished if is_being_written(path, handles)}

    def forget(self, path: bytes) -> None:
        """Note that a file waits no longer."""
        self._since_s.pop(path, None)

    def _waited_s(self, drop: Drop) -> float:
        """Return for how long a drop has been refused as it is now."""
        now_s = time.monotonic()
        identity, since_s = self._since_s.get(drop.path, (drop.identity, now_s))
        if identity != drop.identity:
            since_s = now_s
        self._since_s[drop.path] = (drop.identity, since_s)
        return now_s - since_s
