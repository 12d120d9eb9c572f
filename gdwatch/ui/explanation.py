"""What the model looked at: a panel, made on demand in a process of its own.

That process loads torch, which this one never does, and ends with the panel.
"""

import asyncio
import contextlib
import os
import select
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gdwatch.errors import GdwatchError
from gdwatch.ledger.rows import Row
from gdwatch.processes.child import Child
from gdwatch.processes.messages import Died
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.ui import thumbnails

_LONGEST_S = 120.0
_MOST_WAITING = 3  # requests


class Explanations:
    """Makes panels, one at a time."""

    def __init__(self, settings: Settings, folders: Folders) -> None:
        self._settings = settings
        self._folders = folders
        self._thread = ThreadPoolExecutor(1, "explanations")
        self._waiting = 0

    async def panel(self, row: Row) -> bytes:
        """Return the panel of a file as PNG. Raises GdwatchError if there is none to be had."""
        if self._waiting >= _MOST_WAITING:
            raise GdwatchError("others wait for an explanation, too", "try again in a minute")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._make, row)
        finally:
            self._waiting -= 1

    def _make(self, row: Row) -> bytes:
        opened = thumbnails.open_file(row, self._folders)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, opened.descriptor)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gdwatch-"))
            settings = self._settings.model_dump(mode="json", exclude={"ui_port"})
            given = {"settings": settings, "folder": folder}
            child = Child("gdwatch.ui.explaining", given, [opened.descriptor])
            stack.callback(child.end)
            if not select.select([child], [], [], _LONGEST_S)[0]:
                raise GdwatchError(f"id {row.id}: is not explained within {_LONGEST_S:.0f} s")
            with contextlib.suppress(Died):
                answer = child.receive() or {}
                if "panel" in answer:
                    return Path(folder, os.path.basename(answer["panel"])).read_bytes()  # noqa: PTH119 - text
                raise GdwatchError(f"id {row.id}: {answer.get('failed', 'no answer')}")
        raise GdwatchError(f"id {row.id}: the process that explains has ended")

    def close(self) -> None:
        """Finish the panel that was begun."""
        self._thread.shutdown(cancel_futures=True)
