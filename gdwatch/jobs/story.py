"""The story of a file in words: every decision, correction and move, in the order of time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """at: UTC, without a zone. kind: `decision`, `correction` or `move`."""

    at: datetime
    kind: str
    words: str


def told(
    results: Iterable[Mapping[str, Any]],
    corrections: Iterable[Mapping[str, Any]],
    moves: Iterable[Mapping[str, Any]],
) -> list[Event]:
    """Return what has happened to a file, oldest first; at one moment decisions come first.

    results, corrections, moves: of the file, as `queries` returns them.
    """
    events = [
        *(Event(each["decided_at"], "decision", _decision(each)) for each in results),
        *(Event(each["at"], "correction", _correction(each)) for each in corrections),
        *(Event(each["moved_at"], "move", _move(each)) for each in moves),
    ]
    return sorted(events, key=attrgetter("at"))


def _decision(result: Mapping[str, Any]) -> str:
    reason = f" ({result['reason']})" if result["reason"] else ""
    said = ""
    if result["label"] is not None:
        said = f", {result['label']} with {result['confidence']:.4f}"
    faces = "" if result["faces"] is None else f", faces {result['faces']}"
    asked = f", asked by {result['command']}" if result["command"] else ""
    model = f"{result['model']} {result['version']}"
    return f"{result['outcome']}{reason}{said}{faces}, by {model}, {result['rules']}{asked}"


def _correction(each: Mapping[str, Any]) -> str:
    how = "by hand" if each["how"] == "hand" else "by a command"
    return f"{each['label'] or 'taken back'}, {how}, {each['by']}"


def _move(each: Mapping[str, Any]) -> str:
    return f"{each['from_path']} → {each['to_path']}, {each['why']}"
