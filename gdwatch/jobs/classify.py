"""Answers for files and folders, in the order given; records and moves nothing."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gdwatch.files import escaping
from gdwatch.files.identity import identity_of
from gdwatch.files.walk import Unlisted, files_below
from gdwatch.pipeline.drain import drain
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.settings import Settings
from gdwatch.values import Decision, Drop, Judged, Opened

COLUMNS = (
    "path", "outcome", "reason", "label", "confidence", "p_male", "faces",
    "box_x", "box_y", "box_w", "box_h", "width", "height", "format", "model",
)  # fmt: skip
Answer = dict[str, Any]
Complain = Callable[[bytes, str], None]
Draw = Callable[[int, Judged], object]


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line names. null: names on standard input end with NUL."""

    paths: tuple[str, ...]
    null: bool


def inputs(given: Given, ignored: tuple[str, ...]) -> Iterator[bytes]:
    """The paths of all that was named, those below folders included, in the order given."""
    for path in given.paths:
        if path == "-":
            yield from _from_stdin(b"\0" if given.null else b"\n")
        elif os.path.isdir(path):  # noqa: PTH112 - any bytes, a NUL too, are a name here
            for found in files_below(os.fsencode(path), ignored):
                yield found.path if isinstance(found, Unlisted) else found  # its answer says why
        else:
            yield os.fsencode(path)


def _from_stdin(separator: bytes) -> Iterator[bytes]:
    rest = b""
    while chunk := os.read(sys.stdin.fileno(), 65536):
        *lines, rest = (rest + chunk).split(separator)
        yield from filter(None, lines)
    if rest:
        yield rest


def _open(path: bytes) -> Opened | str:
    """Open an input; else say why that was not possible."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a NUL in a name
        return str(error)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return "not a regular file"
    return Opened(Drop(path, identity_of(status), datetime.now(UTC)), descriptor)


def answers(
    settings: Settings, inputs: Iterator[bytes], complain: Complain, draw: Draw | None = None
) -> Iterator[Answer]:
    """One answer an input, in the order given, whatever the order of judging.

    complain: told of an input that cannot be opened, and why. draw: given each input's number with
    what was judged, while its descriptor is still open.
    """
    done: dict[int, Answer] = {}  # what came before its turn; bounded by the pipeline
    turn = 0
    for number, answer in _numbered(settings, inputs, complain, draw):
        done[number] = answer
        while turn in done:
            yield done.pop(turn)
            turn += 1


def _numbered(
    settings: Settings, inputs: Iterator[bytes], complain: Complain, draw: Draw | None
) -> Iterator[tuple[int, Answer]]:
    """One answer an input with its number, in the order of judging."""
    numbers: dict[int, int] = {}  # of inputs, by descriptor
    unopened: list[tuple[int, Answer]] = []
    with closing(Pipeline(settings)) as pipeline:
        model = f"{pipeline.model.name} {pipeline.model.version}"

        def opened() -> Iterator[Opened]:
            for number, path in enumerate(inputs):
                match _open(path):
                    case Opened() as file:
                        numbers[file.descriptor] = number
                        yield file
                    case why:
                        complain(path, why)
                        refused = Decision("rejected", "unreadable")
                        unopened.append((number, _answer(path, refused, None, model)))

        for batch in drain(pipeline, opened()):
            for judged in batch.judged:
                number = numbers.pop(judged.opened.descriptor)
                if draw is not None:
                    draw(number, judged)
                yield number, _answer(judged.opened.drop.path, judged.decision, judged, model)
            yield from unopened
            unopened.clear()
        yield from unopened


def _answer(path: bytes, decision: Decision, judged: Judged | None, model: str) -> Answer:
    header = judged.decoded.header if judged else None
    box = decision.box
    values = (
        escaping.escape(path),
        decision.outcome,
        decision.reason,
        decision.label,
        decision.confidence,
        decision.p_male,
        decision.faces,
        box.x if box else None,
        box.y if box else None,
        box.width if box else None,
        box.height if box else None,
        header.width if header else None,
        header.height if header else None,
        header.format if header else None,
        model,
    )
    return dict(zip(COLUMNS, values, strict=True))
