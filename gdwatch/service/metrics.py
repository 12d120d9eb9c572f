"""The metrics of a service, as Prometheus collects them.

Names follow the rules of Prometheus: base units (seconds, bytes, ratios), `_total` for what only
grows. No label ever holds a file's name.
"""

import time
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gdwatch import __version__
from gdwatch.files import standard_error
from gdwatch.intake.backlog import Backlog, backlog
from gdwatch.service.counts import Histogram
from gdwatch.service.observed import Observed, Parts
from gdwatch.settings import MIB

_SHARE = 20  # a listing of the inbox for the backlog may take a twentieth of the time


def registry_of(observed: Observed) -> CollectorRegistry:
    """Return a registry with the metrics of one service, and of its main process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(observed))
    ProcessCollector(registry=registry)
    return registry


class _Collector(Collector):
    """Reads the metrics when they are asked for, on the thread that serves them."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._backlog: Backlog | None = None
        self._list_again_s = float("-inf")

    def collect(self) -> Iterator[Metric]:
        state, parts = self._observed.pause_state, self._observed.parts
        yield InfoMetricFamily("gdwatch_build", "Version of the program.", {"version": __version__})
        yield GaugeMetricFamily(
            "gdwatch_healthy",
            "1 while photographs get on, as /healthz says it in words.",
            float(not self._observed.ailment()),
        )
        yield from self._pauses()
        yield CounterMetricFamily(
            "gdwatch_log_lines_dropped",
            "Lines of the log that could not be written.",
            standard_error.dropped(),
        )
        yield CounterMetricFamily(
            "gdwatch_watch_overflows",
            "How often the kernel has dropped notifications; a listing finds the files.",
            self._observed.watch.overflows,
        )
        yield _labelled(
            GaugeMetricFamily(
                "gdwatch_files_skipped", "Files that have to stay in the inbox.", labels=["reason"]
            ),
            dict(Counter(state.told.skipped.values())),
        )
        yield from self._waiting()
        if parts is not None:
            yield from _filed(parts)
            yield from _processes(parts)
            yield from self._disk(parts)

    def _pauses(self) -> Iterator[Metric]:
        state = self._observed.pause_state
        told, seconds = state.told, state.paused_s.copy()
        now = {reason: float(reason == told.reason) for reason in seconds}
        if told.state == "paused" and told.reason is not None:
            now[told.reason] = 1.0
        yield _labelled(
            GaugeMetricFamily(
                "gdwatch_paused", "1 while the service pauses for this reason.", labels=["reason"]
            ),
            now,
        )
        yield _labelled(
            CounterMetricFamily(
                "gdwatch_paused_seconds", "Time of pauses, by reason.", labels=["reason"]
            ),
            seconds,
        )

    def _waiting(self) -> Iterator[Metric]:
        self._list()
        if self._backlog is None:
            return  # the inbox cannot be listed: no number is better than a wrong one
        yield GaugeMetricFamily(
            "gdwatch_files_waiting",
            "Files in the inbox, without those that have to stay there.",
            self._backlog.files,
        )
        yield GaugeMetricFamily(
            "gdwatch_oldest_waiting_seconds",
            "How long the oldest of the waiting files has been in the inbox; 0 without any.",
            self._backlog.oldest_s,
        )

    def _list(self) -> None:
        """Look at the backlog, seldom where that takes long."""
        began_s = time.monotonic()
        if began_s < self._list_again_s:
            return
        parts = self._observed.parts
        skipped = parts.inbox.skipped if parts is not None else ()
        self._backlog = backlog(self._observed.folders, self._observed.settings, skipped)
        ended_s = time.monotonic()
        self._list_again_s = ended_s + (ended_s - began_s) * (_SHARE - 1)

    def _disk(self, parts: Parts) -> Iterator[Metric]:
        free_mb = parts.conditions.free_mb
        if free_mb is not None:
            yield GaugeMetricFamily(
                "gdwatch_disk_free_bytes", "Free on the disk of the root.", free_mb * MIB
            )
        yield GaugeMetricFamily(
            "gdwatch_disk_floor_bytes",
            "With less free the service pauses (setting min_free_mb).",
            self._observed.settings.min_free_mb * MIB,
        )


def _filed(parts: Parts) -> Iterator[Metric]:
    counts = parts.filer.counts
    filed = CounterMetricFamily(
        "gdwatch_files_filed",
        "Files moved to an answer folder, by outcome and reason of their row.",
        labels=["outcome", "reason"],
    )
    for labels, count in counts.filed.copy().items():
        filed.add_metric(labels, count)
    yield filed
    if parts.filer.filed_at is not None:
        yield GaugeMetricFamily(
            "gdwatch_last_filed_timestamp_seconds",
            "When a file was last filed.",
            parts.filer.filed_at.timestamp(),
        )
    yield GaugeMetricFamily(
        "gdwatch_files_stuck", "Recorded files that cannot be moved now.", len(parts.filer.stuck)
    )
    stages = HistogramMetricFamily(
        "gdwatch_stage_seconds",
        "Duration of each stage: read for each file, classify for each batch, record and move for "
        "the batches that are filed together.",
        labels=["stage"],
    )
    for stage, histogram in counts.stages.items():
        stages.add_metric([stage], *_buckets(histogram))
    yield stages
    filing = HistogramMetricFamily(
        "gdwatch_filing_seconds", "From when a file was first seen until it was filed."
    )
    filing.add_metric([], *_buckets(counts.filing))
    yield filing
    confidence = HistogramMetricFamily(
        "gdwatch_confidence_ratio", "Probability of the likelier class of each photograph."
    )
    confidence.add_metric([], *_buckets(counts.confidence))
    yield confidence


def _processes(parts: Parts) -> Iterator[Metric]:
    pipeline = parts.pipeline
    workers = CounterMetricFamily(
        "gdwatch_workers_replaced", "Worker processes replaced, by why.", labels=["reason"]
    )
    replaced = pipeline.workers_replaced
    for reason in ("died", "timeout"):
        workers.add_metric([reason], replaced[reason])
    yield workers
    yield CounterMetricFamily(
        "gdwatch_engines_replaced", "Engines that have died.", pipeline.engines_replaced
    )
    if (device := pipeline.device) is not None:
        model = InfoMetricFamily(
            "gdwatch_model", "The models in use.", labels=["name", "version", "sha256", "device"]
        )
        for each in pipeline.models:
            model.add_metric([each.name, each.version, each.sha256, device], {})
        yield model


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulative buckets and the sum of a histogram."""
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts[:]), strict=True)), histogram.total


def _labelled(
    family: GaugeMetricFamily | CounterMetricFamily, values: dict[str, float] | dict[str, int]
) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
