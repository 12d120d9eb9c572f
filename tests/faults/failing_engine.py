"""The stub engine on a device that fails: as a file says, and as long as the file is there.

In the file one word: `refuse` (the device is not there), `die` (at the start), `die_on_batch`.
"""

import os
import signal
from pathlib import Path
from typing import Any

from gdwatch.processes import parent
from tests.faults import crash_at, stub_engine

_VARIABLE = "FAILING_ENGINE"


def use(trouble: str) -> None:
    """In a run's process, before its command: start this engine."""
    os.environ[_VARIABLE] = trouble

    def wrapped(original: Any) -> Any:
        def child(module: str, *given: Any, **more: Any) -> Any:
            return original(__name__ if module == crash_at.ENGINE else module, *given, **more)

        return child

    crash_at.replace("gdwatch.pipeline.engine_client:Child", wrapped)


def main() -> None:
    trouble = Path(os.environ[_VARIABLE])
    word = trouble.read_text() if trouble.exists() else ""
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "refuse":
        channel, _, _ = parent.connect()
        parent.send(channel, {"refused": "device cuda: not there", "hint": "the driver"})
        return
    if word == "die_on_batch":
        stub_engine._wish = lambda _: word
    stub_engine.main()


if __name__ == "__main__":
    main()
