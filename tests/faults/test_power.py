"""Power loss (T4): whatever part of the unsynced changes reached the disk, nothing is lost."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults import power
from tests.faults.case import Case
from tests.faults.launch import Fault, call

# How a file moves: by rename; by link and unlink; by a verified copy.
_WAYS: Mapping[str, tuple[Fault, ...]] = {
    "rename": (),
    "link": (Fault("C7.rename", do=("EINVAL",), until=None),),
    "copy": (Fault("C7.rename", do=("EXDEV",), until=None),),
}


def recorded(case: Case, way: str, *before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run once over what was dropped, undisturbed; returns the trace of what it did."""
    trace = case.folder / f"trace-{len(case.runs)}"
    start = call("tests.faults.recorder:start", trace=str(trace), root=str(case.root))
    case.run("run", "--once", before=[*before, start], faults=_WAYS[way])
    return [json.loads(line) for line in trace.read_text().splitlines()]


@pytest.mark.parametrize("way", _WAYS)
def test_every_step_comes_in_its_order(case: Case, way: str) -> None:
    case.settings["batch_size"] = 3
    case.drop_mixture(12)
    trace = recorded(case, way)
    moved = {"rename": "move", "link": "link", "copy": "copy"}[way]
    assert sum(step["op"] == moved for step in trace) == 12
    case.finish(trace=trace)


@pytest.mark.scenario("T4", quick=40, long=5000)
def test_a_power_cut_at_any_step_loses_nothing(rounds: Iterator[Case], tmp_path: Path) -> None:
    ways = itertools.cycle(_WAYS)
    left: list[power.Cut] = []
    for case in rounds:
        if not left:
            source = case.another(tmp_path / f"source-{case.number}")
            way = next(ways)
            left, contents = possible(source, way, at_most=14 if not case.long else None)
        cut = left.pop()
        power.rebuild(cut, contents, source.root, case.root)
        here = os.fsencode(source.folder), os.fsencode(case.folder)
        case.dropped = [replace(drop, path=drop.path.replace(*here)) for drop in source.dropped]
        there_before = {path.replace(*here) for path in source.before}
        case.before = {path: thing for path, thing in case.look().items() if path in there_before}
        case.count.dropped += len(source.dropped)
        case.count.faults += 1
        case.finish(again=case.long or case.number % 4 == 0, faults=_WAYS[way])


def possible(
    source: Case, way: str, at_most: int | None
) -> tuple[list[power.Cut], dict[int, tuple[bytes, int]]]:
    """What cuts of one run may leave, in any order, and the bytes and times of its files."""
    source.settings["batch_size"] = source.dice.choice((1, 3, 16))
    source.drop_mixture(6)
    (source.root / "male" / "000.png").write_bytes(source.picture())  # takes the first one's name
    contents = {}
    for path, thing in source.look().items():
        if thing.kind == "file":
            contents[thing.inode] = (Path(os.fsdecode(path)).read_bytes(), thing.mtime_ns)
    trace = recorded(source, way)
    by_path = {os.fsdecode(path): thing.inode for path, thing in source.before.items()}
    for step in trace:
        if step["op"] == "copy":
            contents[step["inode"]] = contents[by_path[step["source"]]]
    root = os.fsencode(source.root)
    before = {path: thing for path, thing in source.before.items() if path.startswith(root + b"/")}
    cuts = power.cuts(before, trace, source.dice)
    source.dice.shuffle(cuts)
    return cuts[:at_most], contents
