"""The product's worker with a mistake: however many pixels a picture has, it decodes them."""

import importlib
import os
from pathlib import Path
from typing import Any

from gdwatch.processes import worker
from tests.faults import crash_at

CHECK = "gdwatch.decode.decoder:require_few_pixels"
_VARIABLE = "CARELESS_WORKER_NOTES"


def start(notes: Path) -> None:
    """In a run: have this module where the product starts its worker.

    notes: as for `crash_at.replace_noted`; a worker may write no byte, so that it leaves an empty
    file beside it when the check was reached.
    """
    os.environ[_VARIABLE] = str(notes)
    module, _, name = CHECK.partition(":")
    getattr(importlib.import_module(module), name)  # a worker could not say that it is gone

    def wrapped(original: Any) -> Any:
        def child(module: str, *given: Any) -> Any:
            return original(__name__ if module == "gdwatch.processes.worker" else module, *given)

        return child

    crash_at.replace_noted("gdwatch.pipeline.worker_pool:Child", wrapped, notes)
    crash_at.note(notes, "planted", CHECK)


def reached(notes: Path) -> bool:
    """Whether a worker would have checked."""
    return notes.with_suffix(".reached").exists()


def main() -> None:
    notes = Path(os.environ[_VARIABLE])

    def check(*_: Any) -> None:
        notes.with_suffix(".reached").touch()

    crash_at.replace(CHECK, lambda _: check)
    crash_at.replace("gdwatch.decode.formats:require_few_pixels", lambda _: check)
    worker.main()


if __name__ == "__main__":
    main()
