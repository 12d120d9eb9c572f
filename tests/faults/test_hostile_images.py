"""Hostile pictures: refused or classified, never anything else, and the service goes on (T18, T19).

The corpus is walked three times: through reading and decoding alone, through the product's worker,
and in samples through the whole service.
"""

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from gdwatch.processes.child import Child
from gdwatch.processes.messages import Died
from gdwatch.processes.slots import Slots
from tests import build
from tests.faults import corpus, fuzz_decode, toy
from tests.faults.case import Case
from tests.faults.launch import REPOSITORY, Run, environment
from tests.faults.toy import Answer

pytestmark = pytest.mark.timeout(600)
SEED = 14
SOME, ALL = 300, 3_000
SUFFIXES = (".jpg", ".png", ".JPEG", ".gif", ".txt", ".exe", "", ".php.jpg", ".tiff", ".heic")
# What `contract.md` allows a file to be rejected for, if it is the file's own fault.
REASONS = {
    "empty", "not_an_image", "unsupported_format", "truncated", "damaged", "too_many_bytes",
    "too_many_pixels", "decoder_crashed", "decoder_timeout",
}  # fmt: skip


@pytest.fixture(scope="module")
def numbers(request: pytest.FixtureRequest) -> list[int]:
    """The samples to walk: all of them in the long form, else some that are spread over all."""
    return list(range(ALL) if request.config.getoption("--long") else range(0, ALL, ALL // SOME))


def walk(first: int, count: int) -> dict[str, str]:
    """The answers of reading and decoding to these samples, by name; a crash fails the test."""
    words = ["-m", "tests.faults.fuzz_decode", "--corpus", str(SEED), str(first), str(count)]
    ended = run_python(*words)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0, f"after {lines[-1:]}: {ended.stderr[-2000:]}"
    assert len(lines) == count
    assert [line for line in lines if line[2] and line[1] == "classified"] == []
    return {name: answer for name, answer, _ in lines}


def run_python(*words: str) -> subprocess.CompletedProcess[str]:
    """Decoders print what they like, so that their words need not be UTF-8."""
    return subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, env=environment(), capture_output=True,
        text=True, errors="replace", check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> dict[str, str]:
    """All of the corpus decoded, which takes seconds: no memory, no pixel and no word too many."""
    return walk(0, ALL)


# ------------------------------------------------------------------------- decoding


def test_decoding_refuses_or_classifies_and_never_crashes(answers: dict[str, str]) -> None:
    counted = Counter(answers.values())
    print(dict(counted))
    assert len(answers) == ALL
    assert set(counted) <= REASONS | {"classified"}
    # A corpus that is always refused, or never, would show nothing.
    assert all(
        counted[each] > 20 for each in ("classified", "truncated", "damaged", "not_an_image")
    )


def test_every_cut_of_every_format_is_truncated(answers: dict[str, str]) -> None:
    cut = {name: answer for name, answer in answers.items() if " cut at " in name}
    assert len(cut) == corpus.CUTS * len(corpus.originals())
    assert set(cut.values()) == {"truncated"}


def test_an_original_is_classified_so_that_its_mutations_mean_something() -> None:
    target = fuzz_decode.Target()
    found = {name: target.answer(content) for name, content in corpus.originals().items()}
    assert set(found.values()) == {"classified"}, found
    formats = {name.partition("-")[0] for name in found}
    assert formats >= {"jpeg", "png", "webp", "gif", "bmp", "tiff"}


def test_a_polyglot_is_what_it_begins_with() -> None:
    target = fuzz_decode.Target()
    for sample in corpus.polyglots():
        answer = target.answer(sample.content)
        is_picture = not sample.name.startswith(
            tuple(f"{kind} before" for kind in corpus.STRANGERS)
        )
        assert (answer == "classified") == is_picture, (sample.name, answer)
        # Pillow knows PostScript, and ELF is what old sprites begin with: both are refused.
        assert is_picture or answer in ("not_an_image", "unsupported_format"), sample.name


# ------------------------------------------------------------------------- the worker


@contextlib.contextmanager
def a_worker(slots: Slots) -> Iterator[Child]:
    start = {
        "slots": slots.count,
        "layout": asdict(slots.layout),
        "max_pixels": fuzz_decode.LIMITS.max_pixels,
        "memory_mb": fuzz_decode.MEMORY_MB,
    }
    child = Child("gdwatch.processes.worker", start, [slots.descriptor])
    try:
        assert build.wait_until(child.receive) == {"ready": True}
        yield child
    finally:
        child.end()


def test_the_worker_answers_as_decoding_does_and_outlives_the_corpus(
    answers: dict[str, str], numbers: list[int], tmp_path: Path
) -> None:
    slots = Slots(1, fuzz_decode.LAYOUT)
    other = {}
    with a_worker(slots) as child:
        for number in numbers:
            sample = corpus.sample(SEED, number)
            path = tmp_path / "sample"
            path.write_bytes(sample.content)
            with path.open("rb") as file:
                child.send({"slots": [0]}, [file.fileno()])
            try:
                packet = build.wait_until(child.receive, sample.name)
            except Died:
                pytest.fail(f"the worker died of {sample.name}")
            answer = packet["Refusal"]["reason"] if "Refusal" in packet else "classified"
            if answer != answers[sample.name]:
                other[sample.name] = answer
        status = Path(f"/proc/{child.process.pid}/status").read_text()
    slots.close()
    assert other == {}
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    assert int(peak[1]) < fuzz_decode.MEMORY_MB << 10


# ------------------------------------------------------------------------- the service


PER_ROUND = 100
IN_LARGE_BATCHES = {"batch_size": 32, "batch_wait_ms": 100}  # a few syncs to disk for many files


@pytest.mark.scenario("T19", quick=2 * PER_ROUND, long=5_000)
def test_the_service_files_every_broken_image_once_with_its_bytes(
    rounds: list[Case], answers: dict[str, str]
) -> None:
    for case in rounds:
        case.settings |= {"max_pixels": fuzz_decode.LIMITS.max_pixels, **IN_LARGE_BATCHES}
        step = 1 if case.long else ALL // case.wanted
        known = answers if case.number < ALL else walk(case.number, PER_ROUND)
        for number in range(case.number, case.number + PER_ROUND):
            sample = corpus.sample(SEED, number * step)
            name = f"{number}{SUFFIXES[number % len(SUFFIXES)]}"
            put(case, name, sample.content, rejected(known[sample.name]))
        case.drop("whole.png")
        run = case.run("run", "--once")
        case.count.runs = case.count.faults = PER_ROUND
        case.judge()
        assert {row["reason"] for row in case.rows() if row["outcome"] == "rejected"} <= REASONS
        assert not run.events("worker.died"), run.text()


def put(case: Case, name: str, content: bytes, answer: Answer | None) -> None:
    """Drop what no test should try to decode; None: the answer may be any."""
    aside = case.folder / "on its way"
    aside.write_bytes(content)
    case.note(case.inbox / name, answer, lies=aside)
    aside.rename(case.inbox / name)


def rejected(reason: str) -> Answer | None:
    return None if reason == "classified" else Answer("rejected", reason)


ORIENTED = ("JPEG", "PNG", "WEBP", "TIFF")
_UNTURNED = {  # how an upright picture has to lie in the file, by EXIF's number
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def test_all_eight_orientations_are_seen_upright(case: Case) -> None:
    case.settings |= IN_LARGE_BATCHES
    for format_, number in product(ORIENTED, _UNTURNED):
        p_male = round(0.91 + number / 100, 3)
        upright = Image.open(io.BytesIO(toy.picture(number, p_male)))
        turn = _UNTURNED[number]
        stored = upright if turn is None else upright.transpose(turn)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = number
        options = {"lossless": True} if format_ == "WEBP" else {}
        content = corpus.encode(stored, format_, exif=exif, **options)
        case.drop(f"{number}.{format_.lower()}", content, toy.answer_to(p_male))
    case.run("run", "--once")
    case.judge()


def test_a_wrong_suffix_changes_nothing(case: Case) -> None:
    case.settings |= IN_LARGE_BATCHES
    for number, (format_, suffix) in enumerate(product(("JPEG", "PNG", "BMP"), SUFFIXES)):
        case.drop(f"{number}{suffix}", case.picture(format_=format_))
    case.run("run", "--once")
    case.judge()


# ------------------------------------------------------------------------- bombs

ABOVE, BELOW = 10_100, 10_000  # pixels, where max_pixels is the latter
SIDES = [(14_000, 14_000), (60_000, 1), (65_535, 65_535), (2**31 - 1, 1), (2**64 - 1, 2**64 - 1)]


def bombs() -> list[corpus.Sample]:
    """Headers that promise too much, and few bytes that hold it; `cut` says: must be refused."""
    found = []
    for (name, make), (width, height) in product(corpus.HEADERS.items(), SIDES):
        with contextlib.suppress(Exception):  # more than this format can even say
            found.append(corpus.Sample(f"{name} {width}x{height}", make(width, height), cut=True))
    for format_ in corpus.WHOLE_FORMATS:
        found.append(corpus.Sample(f"{format_} below", corpus.flat(100, 100, format_)))
        found.append(corpus.Sample(f"{format_} above", corpus.flat(101, 100, format_), cut=True))
        found.append(corpus.Sample(f"{format_} line", corpus.flat(BELOW, 1, format_)))
    for format_ in ("GIF", "WEBP", "PNG"):
        found.append(corpus.Sample(f"{format_} frames", corpus.many_frames(300, format_)))
    return found


def peak_kb(run: Run) -> int:
    """The most memory that a process has had resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{run.pid}/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.scenario("T18", quick=5, long=60)
def test_bombs_are_rejected_or_classified_and_the_service_stays_small(rounds: list[Case]) -> None:
    everything = bombs()
    for case in rounds:
        case.settings |= {"max_pixels": BELOW, **IN_LARGE_BATCHES}
        for number in range(8):
            case.drop(f"plain-{number}.png")
        service = case.start("run")
        case.wait_until_filed(service)
        before_kb = peak_kb(service)
        share = everything[case.number % 5 :: 5]
        for number, bomb in enumerate(share):
            put(case, f"bomb-{number}", bomb.content, Answer("rejected") if bomb.cut else None)
            case.count.faults += 1
        case.wait_until_filed(service)
        assert peak_kb(service) - before_kb < 16 << 10
        service.send(15)
        service.wait()
        case.judge()
        refused = Counter(row["reason"] for row in case.rows() if row["outcome"] == "rejected")
        assert set(refused) <= REASONS
        assert refused["too_many_pixels"] >= len(share) // 2, refused
        assert not refused["decoder_crashed"] + refused["decoder_timeout"], refused


def test_at_the_limit_of_the_defaults_a_picture_is_classified_and_above_it_refused(
    case: Case,
) -> None:
    too_many = Answer("rejected", "too_many_pixels")
    put(case, "at.png", corpus.flat(8_000, 8_000), None)
    put(case, "above.png", corpus.flat(8_001, 8_000), too_many)
    put(case, "long.png", corpus.flat(60_000, 1), None)
    put(case, "header.png", corpus.png_header(14_000, 14_000), too_many)
    case.run("run", "--once")
    case.judge()
    outcomes = {row["name"]: row["outcome"] for row in case.rows()}
    assert {outcomes["at.png"], outcomes["long.png"]} <= {"female", "male", "unsure"}


# ------------------------------------------------------------------------- fuzzing


@pytest.mark.timeout(1_200)
def test_the_fuzz_target_finds_nothing_in_a_short_run(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: `pip install atheris`")
    runs = 20_000 if request.config.getoption("--long") else 500
    finds = tmp_path / "finds"
    ended = run_python(
        "-m", "tests.faults.fuzz_decode", str(finds), f"-runs={runs}", f"-seed={SEED}",
        f"-artifact_prefix={tmp_path}/",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"Done {runs} runs" in ended.stderr
    assert not list(tmp_path.glob("crash-*"))
    assert len(os.listdir(finds)) >= len(corpus.originals())
