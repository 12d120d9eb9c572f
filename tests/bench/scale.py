"""Few files and very many: time of one, memory, and how soon the first are judged."""

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.photographs import Pool
from tests.bench.service_run import Run, run_once

_MEMORY_S = 1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """A run over many files. first_batch_s: from the start until the engine had files to judge."""

    run: Run
    first_batch_s: float

    @property
    def most_mb(self) -> float:
        return max(self.run.pss_mb, default=0.0)

    @property
    def growth(self) -> float:
        """Memory in the last quarter of the run, as a multiple of the second quarter's."""
        found = self.run.pss_mb
        quarter = max(1, len(found) // 4)
        return max(found[-quarter:]) / max(found[quarter : 2 * quarter], default=found[-1])


def scale(root: Path, pool: Pool, count: int) -> Scale:
    """`run --once` over `count` files that wait."""
    pool.fill(root / "inbox", count)
    run = run_once(root, memory_every_s=_MEMORY_S)
    with contextlib.closing(sqlite3.connect(root / "results.db")) as ledger:
        (text,) = ledger.execute("SELECT min(started_at) FROM batches").fetchone()
    began = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    shutil.rmtree(root)
    return Scale(run, began - run.started_at)
