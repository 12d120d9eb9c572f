from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gdwatch.service.counts import Counts, Histogram
from gdwatch.values import Batch, Decision, Drop, Header, Identity, Judged, Opened, Photo
from tests import build

NOW = datetime(2026, 11, 23, 18, 4, 5, tzinfo=UTC)


def judged(received_at: datetime = NOW) -> Judged:
    drop = Drop(b"/inbox/a.jpg", Identity(1, 2, 3, 4), received_at)
    photo = Photo("0" * 64, Header(640, 480, "JPEG"), (32, 32), 20.0)
    decision = Decision("male", None, "male", 0.98, 0.98)
    return Judged(Opened(drop, -1), photo, decision, build.serving())


def batch_of(*files: Judged, device: str | None = "cpu") -> Batch:
    return Batch(files, build.serving(), device, 3.0, NOW, NOW)


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_each_value_at_the_least_bound_that_holds_it(
    values: list[float],
) -> None:
    histogram = Histogram((1.0, 10.0, 50.0))
    for value in values:
        histogram.observe(value)
    for place, bound in enumerate(histogram.bounds):
        below = sum(value <= bound for value in values)
        assert sum(histogram.counts[: place + 1]) == below
    assert sum(histogram.counts) == len(values)
    assert abs(histogram.total - sum(values)) < 1e-6


def test_a_file_that_was_written_to_late_counts_as_what_it_became() -> None:
    counts, files = Counts(), (judged(), judged())
    counts.add(batch_of(*files), files, [False, True], NOW)
    assert +counts.filed == {("male", ""): 1, ("unsure", "changed_late"): 1}


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    counts, each = Counts(), judged(NOW + timedelta(hours=1))
    counts.add(batch_of(each), [each], [False], NOW)
    assert counts.filing.total == 0
    assert sum(counts.filing.counts) == 1


def test_a_batch_of_refusals_alone_says_nothing_of_the_engine() -> None:
    counts, each = Counts(), judged()
    counts.add(batch_of(each, device=None), [each], [False], NOW)
    assert sum(counts.stages["classify"].counts) == 0
    assert sum(counts.stages["read"].counts) == 1
