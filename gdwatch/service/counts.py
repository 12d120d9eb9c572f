"""What the service counts for its metrics.

Plain numbers that the loop alone writes and other threads read. There is no lock: the loop never
waits for a reader, and a reader may see one photograph counted in one number and not yet in the
next.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import get_args

from gdwatch.values import Batch, Judged, PersonsReason, RejectedReason, UnsureReason

STAGES = ("read", "classify", "record", "move")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LONG_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
# Closer where thresholds lie.
_CONFIDENCES = (0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 0.999, 1.0)


class Histogram:
    """How many values were at most each bound, as counts of the intervals between the bounds.

    counts: one more than bounds; the last one is of values above all of them.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


def _outcomes() -> Counter[tuple[str, str]]:
    """Return a zero for each outcome and reason: a rate needs a number before the first event."""
    unsure = [*get_args(UnsureReason), *get_args(PersonsReason)]
    # `unreadable` is never recorded.
    rejected = [each for each in get_args(RejectedReason) if each != "unreadable"]
    rejected += get_args(PersonsReason)
    keys = [("female", ""), ("male", "")]
    keys += [("unsure", reason) for reason in unsure]
    keys += [("rejected", reason) for reason in rejected]
    return Counter(dict.fromkeys(keys, 0))


@dataclass(frozen=True, slots=True)
class Counts:
    """What one service has filed since its start.

    filed: completed moves by outcome and reason of the row; the reason of an answer is empty.
    stages: seconds of each stage. `read` counts once for each file, the others once for each batch,
        or for the batches that are recorded together.
    filing: seconds from when a file was first seen until it was filed.
    confidence: of each photograph that was decided.
    """

    filed: Counter[tuple[str, str]] = field(default_factory=_outcomes)
    stages: dict[str, Histogram] = field(
        default_factory=lambda: {stage: Histogram(_SECONDS) for stage in STAGES}
    )
    filing: Histogram = field(default_factory=lambda: Histogram(_LONG_SECONDS))
    confidence: Histogram = field(default_factory=lambda: Histogram(_CONFIDENCES))

    def add(
        self,
        batch: Batch,
        filed: Sequence[Judged],
        changed: Sequence[bool],
        filed_at: datetime,
    ) -> None:
        """Count the files of a batch that were filed.

        changed: of each, whether it was written to after it was read, and so is `changed_late`.
        """
        if batch.device is not None:
            self.stages["classify"].observe(batch.infer_ms / 1000)
        for each, is_changed in zip(filed, changed, strict=True):
            decision = each.decision
            key = (decision.outcome, decision.reason or "")
            self.filed[("unsure", "changed_late") if is_changed else key] += 1
            self.stages["read"].observe(each.decoded.decode_ms / 1000)
            # A clock that was set back meanwhile makes no negative time.
            waited_s = (filed_at - each.opened.drop.received_at).total_seconds()
            self.filing.observe(max(0.0, waited_s))
            if decision.confidence is not None:
                self.confidence.observe(decision.confidence)
