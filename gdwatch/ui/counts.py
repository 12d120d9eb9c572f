"""How many photographs there are: by outcome, reason, day and confidence.

Counting two million rows takes seconds: a thread counts, and pages show what it counted last.
"""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gdwatch.intake.backlog import PATIENCE_S, backlog
from gdwatch.ledger import originals
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.tables import corrections, files, models, results
from gdwatch.ledger.transaction import now
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.ui.photographs import IS_FILED
from gdwatch.values import Outcome

DAYS = 30
BARS = 25  # of the histogram: confidences from 0.5 to 1, in steps of 0.02
STEPS = 100  # of a threshold that is tried: confidences from 0.5 to 1, in steps of 0.005
_FRESH_S = 5.0
_SHARE = 20  # counting takes no more than this part of the time


@dataclass(slots=True)
class Step:
    """The photographs with confidences of one step of a threshold.

    unsure: those that wait for a person because of it. filed: those that lie in female and male.
    right, wrong: of those that a person has called female or male, how often the model was right.
    """

    unsure: int = 0
    filed: int = 0
    right: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted.

    totals: filed photographs by outcome. days: by day (UTC), oldest first, filed by outcome.
    bars: filed photographs by confidence, see BARS. threshold: the least confidence of the last
        decision that had one.
    steps: by confidence, see STEPS.
    corrected: photographs with a verdict; since_model: with one newer than the newest model.
    last_hour: photographs that were judged in the hour before.
    waiting: files in the inbox; None if it cannot be listed, or nobody has looked.
    waiting_is_complete: False if there may be more, as the listing would take too long.
    """

    totals: dict[str, int]
    days: list[tuple[date, dict[str, int]]]
    bars: list[int]
    threshold: float | None
    steps: list[Step]
    corrected: int
    since_model: int
    last_hour: int
    waiting: int | None = None
    waiting_is_complete: bool = True

    @property
    def busiest(self) -> int:
        """The most photographs that were judged on one of the days, at least 1."""
        return max(1, *(sum(found.values()) for _, found in self.days))

    @property
    def right(self) -> int:
        """How often a person's verdict was the model's, where the threshold alone had decided."""
        return sum(each.right for each in self.steps)

    @property
    def wrong(self) -> int:
        """How often it was the other one."""
        return sum(each.wrong for each in self.steps)


def by_reason(connection: Connection, root_id: int, outcome: Outcome) -> dict[str | None, int]:
    """Return how many filed photographs an outcome has, by reason."""
    query = (
        sa.select(files.c.reason, sa.func.count())
        .where(files.c.root_id == root_id, files.c.outcome == outcome, IS_FILED)
        .group_by(files.c.reason)
    )
    return {reason: count for reason, count in connection.execute(query)}


def model_count(connection: Connection) -> int:
    """Return how many models have decided."""
    return int(connection.execute(sa.select(sa.func.count(models.c.id))).scalar_one())


def count(connection: Connection, root_id: int, moment: datetime) -> Counts:
    """Count everything. moment: UTC, without a zone; its day is the last one."""
    totals = (
        sa.select(files.c.outcome, sa.func.count())
        .where(files.c.root_id == root_id, IS_FILED)
        .group_by(files.c.outcome)
    )
    threshold = (
        sa.select(results.c.min_confidence)
        .where(results.c.min_confidence.is_not(None))
        .order_by(results.c.id.desc())
        .limit(1)
    )
    labelled = corrections.c.label.is_not(None)
    all_labels = sa.select(sa.func.count(corrections.c.file_id.distinct())).where(labelled)
    newest = sa.select(sa.func.max(models.c.first_used_at)).scalar_subquery()
    last_hour = sa.select(sa.func.count()).where(
        files.c.root_id == root_id, files.c.recorded_at > moment - timedelta(hours=1)
    )
    return Counts(
        totals={outcome: number for outcome, number in connection.execute(totals)},
        days=_days(connection, root_id, moment.date()),
        bars=_bars(connection, root_id),
        threshold=connection.execute(threshold).scalar(),
        steps=_steps(connection, root_id),
        corrected=connection.execute(all_labels).scalar_one(),
        since_model=connection.execute(all_labels.where(corrections.c.at > newest)).scalar_one(),
        last_hour=connection.execute(last_hour).scalar_one(),
    )


def _days(connection: Connection, root_id: int, today: date) -> list[tuple[date, dict[str, int]]]:
    first = today - timedelta(days=DAYS - 1)
    day = sa.func.date(files.c.recorded_at)
    query = (
        sa.select(day, files.c.outcome, sa.func.count())
        .where(files.c.root_id == root_id)
        .where(files.c.recorded_at >= datetime(first.year, first.month, first.day))
        .group_by(day, files.c.outcome)
    )
    days: dict[str, dict[str, int]] = {
        str(first + timedelta(days=number)): {} for number in range(DAYS)
    }
    for each, outcome, number in connection.execute(query):
        days.setdefault(str(each), {})[outcome] = number
    return [(date.fromisoformat(each), found) for each, found in sorted(days.items())]


def _bars(connection: Connection, root_id: int) -> list[int]:
    bar = _number_of(BARS)
    query = (
        sa.select(bar, sa.func.count())
        .select_from(files)
        .join(results, results.c.id == files.c.result_id)
        .where(files.c.root_id == root_id, IS_FILED, results.c.confidence.is_not(None))
        .group_by(bar)
    )
    bars = [0] * BARS
    for number, found in connection.execute(query):
        bars[_within(number, BARS)] += found
    return bars


def _steps(connection: Connection, root_id: int) -> list[Step]:
    """Count what another threshold would change: only where it alone has decided."""
    steps = [Step() for _ in range(STEPS)]
    step = _number_of(STEPS)
    decided = (
        sa.select(step, files.c.outcome, sa.func.count())
        .select_from(files)
        .join(results, results.c.id == files.c.result_id)
        .where(files.c.root_id == root_id, IS_FILED, results.c.confidence.is_not(None))
        .where(sa.func.coalesce(files.c.reason, "low_confidence") == "low_confidence")
        .group_by(step, files.c.outcome)
    )
    for number, outcome, found in connection.execute(decided):
        each = steps[_within(number, STEPS)]
        if outcome == "unsure":
            each.unsure += found
        else:
            each.filed += found
    newest = sa.select(sa.func.max(corrections.c.id)).group_by(corrections.c.file_id)
    right = (results.c.label == corrections.c.label).label("right")
    checked = (
        sa.select(step, right, sa.func.count())
        .select_from(corrections)
        .join(files, files.c.id == corrections.c.file_id)
        .join(results, results.c.id == files.c.result_id)
        .where(files.c.root_id == root_id, corrections.c.id.in_(newest))
        .where(corrections.c.label.in_(("female", "male")), results.c.label.is_not(None))
        .where(sa.func.coalesce(results.c.reason, "low_confidence") == "low_confidence")
        .group_by(step, right)
    )
    for number, is_right, found in connection.execute(checked):
        each = steps[_within(number, STEPS)]
        if is_right:
            each.right += found
        else:
            each.wrong += found
    return steps


def _number_of(parts: int) -> sa.Label[Any]:
    # Rounded down, in a way that both databases have; 0.6 is a little less in binary.
    return sa.func.round((results.c.confidence - 0.5) * 2 * parts - 0.5 + 1e-6).label("number")


def _within(number: float, parts: int) -> int:
    return min(max(int(number), 0), parts - 1)


class Counter:
    """Counts in a thread of its own, as often as it is asked for, but not all the time."""

    def __init__(self, ledger: Ledger, folders: Folders, settings: Settings) -> None:
        self._ledger = ledger
        self._folders = folders
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "counter")
        self._lock = threading.Lock()
        self._counting: Future[None] | None = None
        self._counts: Counts | None = None
        self._fresh_until = 0.0

    def counts(self, patience_s: float) -> Counts | None:
        """Return what was counted last; None if nothing was, even after so many seconds."""
        with self._lock:
            is_idle = self._counting is None or self._counting.done()
            if is_idle and time.monotonic() >= self._fresh_until:
                self._counting = self._thread.submit(self._count)
            counting = self._counting
        if self._counts is None and counting is not None:
            try:
                counting.result(patience_s)
            except TimeoutError:
                return None
        return self._counts

    def _count(self) -> None:
        began = time.monotonic()
        with self._ledger.reading() as connection:
            counted = count(connection, self._ledger.root_id, now())
        known = partial(originals.unchanged, self._ledger)
        found = backlog(self._folders, self._settings, (), known, PATIENCE_S)
        self._counts = counted
        if found is not None:
            self._counts = replace(
                counted, waiting=found.files, waiting_is_complete=found.is_complete
            )
        took_s = time.monotonic() - began
        self._fresh_until = time.monotonic() + max(_FRESH_S, _SHARE * took_s)

    def close(self) -> None:
        """Finish the count that has begun."""
        self._thread.shutdown()
