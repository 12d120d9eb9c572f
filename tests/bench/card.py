"""`make bench-card`: the service on a CUDA card, beside the same on the processor in float32.

The processor is there for its answers, which are those that the model was made with. It is kept
from bytes, bfloat16 and AVX-512, and so its speed is not what this machine would reach without a
card: `make bench` measures that.

Inbox, ledger and answer folders lie on tmpfs, so that no disk is measured: one GiB of it, since
those of a run go before the next one's are written.
"""

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import safetensors.numpy

from gdwatch.inference import model_file
from gdwatch.processes.child import ENVIRONMENT
from tests.bench import bars
from tests.bench.bars import NOT_MEASURED, Bar, at_least, at_most
from tests.bench.comparison import SIDES, cores
from tests.bench.loop import Loop
from tests.bench.photographs import CROP, PORTRAIT, Pool, pool
from tests.bench.service_run import Run, run_once

_FILES = {CROP: 20_000, PORTRAIT: 4_000}
_ROUNDS = 3  # of decoding alone
_PROCESSOR = "processor, float32, AVX2"
_PLAIN = "judged the plain way"  # as the engine says it
# With this and a model without ranges, the processor answers in float32.
_FLOAT32 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
_AS_COUNTED = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # else `nvidia-smi` may watch another card
Answers = Mapping[str, tuple[str, str]]  # label and outcome


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found with photographs of one size.

    on_cpu: in float32, with AVX2.
    decode_ms: wall, of one file, all cores at decoding alone. busy: of the card, percent.
    labels, outcomes: how many differ from the processor's.
    plain: what the engine said where it does without the card's own way; else empty.
    """

    side: int
    run: Run
    on_cpu: Run
    decode_ms: float
    busy: float
    labels: int
    outcomes: int
    plain: str


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if something falls short."""
    given = _options(words)
    with tempfile.TemporaryDirectory(dir=given.work, prefix="gdwatch-card-") as folder:
        found = [
            measure(Path(folder), pool(side, given.data), round(_FILES[side] * given.times), given)
            for side in SIDES
        ]
    print(*figures(found, given.device), "", *bars.table(verdicts(found)), sep="\n")
    return int(any(bar.verdict == "falls short" for bar in verdicts(found)))


def measure(work: Path, pictures: Pool, count: int, given: argparse.Namespace) -> Measured:
    """Run the service on the same files on both, and decode them alone."""
    side = pictures.side
    decode_ms = _decode_ms(work / f"decode-{side}", pictures, count, given.model)
    with watched(given.device, work / "busy") as log, patch.dict(os.environ, _AS_COUNTED):
        run, found, plain = _run(work / f"card-{side}", pictures, count, given.model, given.device)
    busy = busy_percent(log.read_text(), run.started_at + run.ready_s, run.ended_at)
    exact = without_ranges(given.model, work)
    with patch.dict(os.environ, _FLOAT32):
        on_cpu, expected, _ = _run(work / f"cpu-{side}", pictures, count, exact, "cpu")
    labels, outcomes = differences(found, expected)
    return Measured(side, run, on_cpu, decode_ms, busy, labels, outcomes, plain)


def _run(
    root: Path, pictures: Pool, count: int, model: object, device: str
) -> tuple[Run, Answers, str]:
    """The run, its answers, and where it did without the card's own way; its files go."""
    pictures.fill(root / "inbox", count)
    run = run_once(root, model=model, device=device)
    found = answers(root)
    shutil.rmtree(root)
    said = root.with_suffix(".log").read_text().splitlines()
    return run, found, next((line for line in said if _PLAIN in line), "")


def _decode_ms(folder: Path, pictures: Pool, count: int, model: str) -> float:
    pictures.fill(folder, count)
    words = ["tests.bench.decode_only", folder, model, "PART", str(cores())]
    loop = Loop(words, {**os.environ, **ENVIRONMENT}, count=cores())
    seconds = statistics.median(loop.seconds() for _ in range(_ROUNDS))
    loop.end()
    shutil.rmtree(folder)
    return seconds * 1000 / count


def without_ranges(model: str, folder: Path) -> Path:
    """A copy of a model that computes in floats wherever it is."""
    file = model_file.read(model_file.find(model))
    details = file.details.model_dump(mode="json")
    for network in filter(None, (details[name] for name in ("classifier", "locator", "closer"))):
        network["ranges"] = None
    copy = folder / f"{file.details.name}-without-ranges.safetensors"
    tensors = safetensors.numpy.load(file.content)
    safetensors.numpy.save_file(tensors, copy, {model_file.METADATA_KEY: json.dumps(details)})
    return copy


@contextlib.contextmanager
def watched(device: str, log: Path) -> Iterator[Path]:
    """Let `nvidia-smi` write down ten times a second how busy the card is, if it is there."""
    number = device.partition(":")[2] or "0"
    with log.open("w") as stream:
        try:
            process = subprocess.Popen(
                ["nvidia-smi", f"--id={number}", "--query-gpu=timestamp,utilization.gpu",
                 "--format=csv,noheader,nounits", "--loop-ms=100"],
                stdout=stream, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError:
            yield log
            return
        try:
            yield log
        finally:
            process.terminate()
            process.wait()


def busy_percent(told: str, begin: float, end: float) -> float:
    """The mean of what `nvidia-smi` told between two times, in seconds since 1970."""
    shares = []
    for line in told.splitlines():
        when, _, share = line.partition(", ")
        with contextlib.suppress(ValueError):  # `[N/A]`, or cut off at the end
            if begin <= datetime.strptime(when, "%Y/%m/%d %H:%M:%S.%f").timestamp() <= end:
                shares.append(float(share))
    return statistics.mean(shares) if shares else NOT_MEASURED


def answers(root: Path) -> Answers:
    """Label and outcome of each file, by name."""
    with contextlib.closing(sqlite3.connect(f"file:{root}/results.db?mode=ro", uri=True)) as book:
        rows = book.execute("SELECT name, label, outcome FROM current_results").fetchall()
    return {name: (label, outcome) for name, label, outcome in rows}


def differences(found: Answers, other: Answers) -> tuple[int, int]:
    """How many labels differ, and how many outcomes; the files are the same."""
    assert found.keys() == other.keys(), "not the same files were filed"
    pairs = [(found[name], other[name]) for name in found]
    return sum(a[0] != b[0] for a, b in pairs), sum(a[1] != b[1] for a, b in pairs)


def figures(found: Sequence[Measured], device: str) -> list[str]:
    """As a table in Markdown."""
    ways = f"{device} | {_PROCESSOR} | decoding alone"
    lines = [
        f"| pictures a second, {cores()} cores | {ways} | card busy |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in found:
        rates = " | ".join(
            f"{1000 / ms:.0f}" for ms in (each.run.ms, each.on_cpu.ms, each.decode_ms)
        )
        busy = "not measured" if each.busy != each.busy else f"{each.busy:.0f} %"
        lines.append(f"| {each.side} px, {each.run.files} files | {rates} | {busy} |")
    return lines


def verdicts(found: Sequence[Measured]) -> list[Bar]:
    """What was wanted, and what was found."""
    wanted = []
    for each in found:
        size = f"{each.side} px"
        share = each.decode_ms / each.run.ms
        wanted += [
            at_least(f"share of the decode ceiling, {size}, %", 80, 100 * share, "{:.0f}"),
            at_most(f"labels unlike the processor's, {size}", 0, each.labels, "{:.0f}"),
            at_most(f"outcomes unlike the processor's, {size}", 0, each.outcomes, "{:.0f}"),
        ]
    plain = [each.plain for each in found if each.plain]
    return [
        *wanted,
        at_most(f"runs without the card's own way {plain or ''}", 0, len(plain), "{:.0f}"),
    ]


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-card")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1; cpu tries this script")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--data", type=Path, help="folder with utk.tar and large.tar")
    parser.add_argument(
        "--work", type=Path, default=Path("/dev/shm"), help="a folder on tmpfs with room for 1 GiB"
    )
    parser.add_argument("--times", type=float, default=1.0, help="files, as a multiple")
    given = parser.parse_args(words)
    if given.device != "cpu":
        from gdwatch.errors import ActionNeeded
        from gdwatch.inference.device import choose_device  # has torch

        try:
            choose_device(given.device)
        except ActionNeeded as error:
            parser.error(f"{error.message}; `--device cpu` tries this script without")
    return given


if __name__ == "__main__":
    sys.exit(main())
