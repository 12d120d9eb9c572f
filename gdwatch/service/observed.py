"""What other threads may see of a service: how it stands, in words and in numbers."""

import time
from dataclasses import dataclass

from gdwatch.intake.inbox import Inbox
from gdwatch.intake.watcher import Watch
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.root.folders import Folders
from gdwatch.service.conditions import Conditions
from gdwatch.service.filer import Filer
from gdwatch.service.pause import PauseState
from gdwatch.settings import Settings

_QUIET_S = 120.0  # as long as the unit gives it before systemd kills it


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a service that has begun to serve."""

    inbox: Inbox
    pipeline: Pipeline
    filer: Filer
    conditions: Conditions


@dataclass(slots=True)
class Observed:
    """One service as other threads see it.

    They only read, and only what the loop replaces as a whole or counts up: neither waits for the
    other. parts: None until it serves.
    """

    settings: Settings
    folders: Folders
    watch: Watch
    pause_state: PauseState
    parts: Parts | None = None

    def ailment(self) -> str:
        """Return why photographs do not get on now, in words; empty if they do."""
        state = self.pause_state
        told, quiet_s = state.told, time.monotonic() - state.alive_at_s
        if told.state == "paused":
            return f"paused since {told.since}: {told.reason}: {state.why}"
        if state.signals.stop:
            return "stopping"
        if quiet_s > _QUIET_S:
            return f"no photograph has got on for {quiet_s:.0f} s"
        return "" if state.ready else "starting"
