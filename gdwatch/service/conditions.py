"""Conditions of work: the root is there and has not changed, and its disk has free space."""

import shutil

from gdwatch.errors import ActionNeeded, Trouble
from gdwatch.files import escaping
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import MIB, Settings

_LOOK_S = 1.0


class Conditions:
    """The conditions of one service. Each is checked at most once a second.

    free_mb: on the disk of the root at the last check, in MiB; None before the first.
    """

    def __init__(self, folders: Folders, settings: Settings) -> None:
        self._folders = folders
        self._settings = settings
        self._root_id = root_id.read_id(folders)
        self._root_at_s = float("-inf")
        self._space_at_s = float("-inf")
        self.free_mb: int | None = None

    def require(self, now_s: float) -> None:
        """Raise Trouble for a missing root or a full disk, ActionNeeded if the root is another one.

        now_s: monotonic.
        """
        if now_s - self._root_at_s >= _LOOK_S:
            self._require_root()
            self._root_at_s = now_s
        if now_s - self._space_at_s >= _LOOK_S:
            self._require_space()
            self._space_at_s = now_s

    def _require_root(self) -> None:
        """Check the root's id: nothing may be made at the mount point of an unmounted disk."""
        try:
            found = root_id.read_id(self._folders)
        except ActionNeeded as error:
            raise Trouble("root_missing", error.message, "put it back, or mount it") from error
        if found != self._root_id:
            raise ActionNeeded(
                f"{self._root()}: became another root, {found}",
                "is the right disk mounted? put it back and start again",
            )

    def _require_space(self) -> None:
        try:
            self.free_mb = free_mb = shutil.disk_usage(self._folders.root).free // MIB
        except OSError as error:
            why = (error.strerror or "").lower()
            hint = "put it back, or mount it"
            raise Trouble("root_missing", f"{self._root()}: {why}", hint) from error
        if free_mb < self._settings.min_free_mb:
            raise Trouble(
                "disk_low",
                f"{self._root()}: {free_mb} MiB are free, "
                f"min_free_mb is {self._settings.min_free_mb}",
                "make room; work goes on by itself",
            )

    def _root(self) -> str:
        return escaping.escape(self._folders.root)
