"""A ledger with photographs of many days, written as rows: to judge them would take long."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gdwatch.ledger.transaction import now


@dataclass(frozen=True, slots=True)
class Judged:
    """A photograph as a model has judged it; outcome `unsure` below a confidence of 0.9."""

    confidence: float
    faces: int = 1
    said: str | None = None  # a person's verdict
    model: str = "fast"


def fill(root: Path, days_ago: float, photographs: Sequence[Judged]) -> None:
    """Record filed photographs, all of one moment. The ledger must be of this version."""
    moment = now() - timedelta(days=days_ago)
    with sqlite3.connect(root / "results.db") as ledger:
        root_id = ledger.execute("SELECT id FROM roots").fetchone()[0]
        for each in photographs:
            _add(ledger, root_id, moment, each)


def _add(ledger: sqlite3.Connection, root_id: int, moment: datetime, judged: Judged) -> None:
    at = f"{moment:%Y-%m-%d %H:%M:%S.%f}"
    ledger.execute(
        "INSERT OR IGNORE INTO models (sha256, name, version, first_used_at, details) "
        "VALUES (?, ?, '1', ?, '{}')",
        (judged.model, judged.model, at),
    )
    (model_id,) = ledger.execute(
        "SELECT id FROM models WHERE sha256 = ?", (judged.model,)
    ).fetchone()
    (number,) = ledger.execute("SELECT coalesce(max(id), 0) + 1 FROM files").fetchone()
    outcome, reason = ("male", None) if judged.confidence >= 0.9 else ("unsure", "low_confidence")
    file_id = ledger.execute(
        "INSERT INTO files (root_id, sha256, size_bytes, modified_ns, name, original_path, path, "
        "state, outcome, reason, model_id, received_at, recorded_at, filed_at) "
        "VALUES (?, ?, 9, 9, ?, ?, ?, 'filed', ?, ?, ?, ?, ?, ?)",
        (root_id, str(number), str(number), f"inbox/{number}", f"{outcome}/{number}", outcome,
         reason, model_id, at, at, at),
    ).lastrowid  # fmt: skip
    result_id = ledger.execute(
        "INSERT INTO results (file_id, model_id, rules, outcome, reason, label, p_male, confidence,"
        " faces, decided_at) VALUES (?, ?, '', ?, ?, 'male', ?, ?, ?, ?)",
        (file_id, model_id, outcome, reason, judged.confidence, judged.confidence, judged.faces,
         at),
    ).lastrowid  # fmt: skip
    ledger.execute("UPDATE files SET result_id = ? WHERE id = ?", (result_id, file_id))
    if judged.said:
        ledger.execute(
            "INSERT INTO corrections (file_id, label, by, at, how) VALUES (?, ?, 'me', ?, 'hand')",
            (file_id, judged.said, at),
        )
