"""What `make bench-card` counts; a processor stands in for the card."""

import json
import os
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from tests import build
from tests.bench import card
from tests.bench.card import (
    Answers,
    Measured,
    answers,
    busy_percent,
    differences,
    figures,
    verdicts,
    watched,
)
from tests.bench.photographs import CROP, PORTRAIT
from tests.bench.service_run import Run, run_once

pytestmark = pytest.mark.alone  # the benchmark has the machine for itself

TOLD = """2026/11/26 10:00:00.100, 90
2026/11/26 10:00:01.100, 40
2026/11/26 10:00:01.900, 60
2026/11/26 10:00:02.000, [N/A]
2026/11/26 10:00:02.5"""


def at(clock: str) -> float:
    return datetime.strptime(f"2026/11/26 {clock}", "%Y/%m/%d %H:%M:%S").timestamp()


def test_the_card_is_busy_as_told_while_photographs_are_filed() -> None:
    assert busy_percent(TOLD, at("10:00:01"), at("10:00:03")) == 50
    assert busy_percent(TOLD, at("10:00:00"), at("10:00:01")) == 90
    nothing = busy_percent("", 0.0, time.time())
    assert nothing != nothing
    assert "| not measured |" in figures([measured(busy=nothing)], "cuda")[-1]


def test_nvidia_smi_is_asked_while_the_service_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with watched("cuda:1", tmp_path / "log") as log:
        assert log.read_text() == ""  # it is not there
    told = tmp_path / "told"
    script = tmp_path / "nvidia-smi"
    script.write_text(f'#!/bin/sh\necho "$@"; : > {told}; exec /bin/sleep 60\n')
    script.chmod(0o755)
    with watched("cuda:1", tmp_path / "log") as log:
        build.wait_until(told.exists, "the script")
    assert "--id=1 --query-gpu=timestamp,utilization.gpu" in log.read_text()


def measured(**others: object) -> Measured:
    run, on_cpu = (Run(10, 1, 0.0, 1.0, 2.0, ms / 100, {}, []) for ms in (1.0, 3.0))
    given = {"decode_ms": 0.9, "busy": 5.0, "labels": 0, "outcomes": 0, "plain": ""}
    return Measured(CROP, run, on_cpu, **{**given, **others})  # type: ignore[arg-type]  # by name, of many types


@pytest.mark.parametrize(
    ("others", "short"),
    [
        ({}, []),
        ({"decode_ms": 0.7}, ["share of the decode ceiling, 200 px, %"]),
        ({"labels": 1}, ["labels unlike the processor's, 200 px"]),
        ({"outcomes": 2}, ["outcomes unlike the processor's, 200 px"]),
        ({"plain": "why"}, ["runs without the card's own way ['why']"]),
    ],
)
def test_what_falls_short_is_named(others: dict[str, object], short: list[str]) -> None:
    bars = verdicts([measured(**others)])
    assert [bar.name for bar in bars if bar.verdict != "pass"] == short
    assert len(bars) == 4


def test_it_runs_the_service_on_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setattr("tests.bench.photographs._PICTURES", {CROP: 4, PORTRAIT: 4})
    monkeypatch.setattr(card, "_FILES", {CROP: 40, PORTRAIT: 8})
    monkeypatch.setattr(card, "SIDES", (CROP,))
    read: list[Answers] = []
    runs: list[Run] = []
    orders: list[str | None] = []
    windows: list[tuple[float, float]] = []
    last_filed: list[float] = []

    def noted(root: Path, **settings: object) -> Run:
        assert [each for each in root.parent.iterdir() if each.is_dir()] == [root]  # room for one
        orders.append(os.environ.get("CUDA_DEVICE_ORDER"))
        runs.append(replace(run_once(root, **settings), filing_s=100.0))  # a large head start
        events = [json.loads(line) for line in root.with_suffix(".log").read_text().splitlines()]
        filed = [each["timestamp"] for each in events if each["event"] == "batch.filed"]
        last_filed.append(datetime.fromisoformat(filed[-1]).timestamp())
        return runs[-1]

    monkeypatch.setattr(card, "answers", lambda root: read.append(answers(root)) or read[-1])
    monkeypatch.setattr(card, "run_once", noted)
    monkeypatch.setattr(card, "busy_percent", lambda _, *window: windows.append(window) or 5.0)
    card.main(["--device=cpu", f"--work={tmp_path}"])
    said = capsys.readouterr().out
    assert "| 200 px, 40 files |" in said
    assert "| cpu | processor, float32, AVX2 | decoding alone |" in said
    assert [len(each) for each in read] == [40, 40]
    assert {label for label, _ in read[0].values()} == {"female", "male"}
    assert orders == ["PCI_BUS_ID", None]
    # From when it was ready until it had filed the last, without the head start.
    assert windows == [(runs[0].started_at + runs[0].ready_s, last_filed[0])]


def test_labels_and_outcomes_are_compared_by_name() -> None:
    found = {"a": ("male", "male"), "b": ("female", "female"), "c": ("male", "unsure")}
    assert differences(found, dict(reversed(found.items()))) == (0, 0)
    assert differences(found, {**found, "b": ("male", "unsure")}) == (1, 1)
    assert differences(found, {**found, "c": ("male", "male")}) == (0, 1)
    with pytest.raises(AssertionError, match="not the same files"):
        differences(found, {"a": ("male", "male")})


def test_a_missing_card_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        card.main(["--device=cuda:99"])
    assert "device cuda:99: not there" in capsys.readouterr().err
