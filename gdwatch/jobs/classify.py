"""Classifies files and folders in the order given; records and moves nothing."""

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
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
from gdwatch.values import Decision, Drop, Header, Judged, Opened, Serving

COLUMNS = (
    "path", "outcome", "reason", "label", "confidence", "p_male", "faces",
    "box_x", "box_y", "box_w", "box_h", "width", "height", "format", "model",
)  # fmt: skip
Answer = dict[str, Any]
Complain = Callable[[bytes, str], None]
Draw = Callable[[int, Judged], object]
UNOPENED = Decision("rejected", "unreadable")


@dataclass(frozen=True, slots=True)
class Given:
    """The inputs named on the command line. null: names on standard input end with NUL."""

    paths: tuple[str, ...]
    null: bool


@dataclass(frozen=True, slots=True)
class Classified:
    """The result of one input. found: why it could not be opened, if it could not."""

    path: bytes
    found: Judged | str


def inputs(given: Given, ignored: tuple[str, ...]) -> Iterator[bytes]:
    """Yield the path of each input file, folders replaced by the files below, in the order given.

    ignored: glob patterns of names that are left out below folders. A folder that cannot be listed
    is yielded itself. A path `-` reads names from standard input.
    """
    for path in given.paths:
        if path == "-":
            yield from _from_stdin(b"\0" if given.null else b"\n")
        elif os.path.isdir(path):  # noqa: PTH112 - a name may hold a NUL
            for found in files_below(os.fsencode(path), ignored):
                yield found.path if isinstance(found, Unlisted) else found  # opening it reports why
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
    """Open an input file; returns the reason if that fails."""
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
    """Yield one answer for each input, in the order of the inputs.

    complain: called with the path of an input that cannot be opened, and the reason. draw: called
    with the number (from 0) and the result of each judged input, while its descriptor is open.

    Raises ActionNeeded if the model cannot be used.
    """
    with closing(Pipeline(settings)) as pipeline:
        first = pipeline.model
        for each in in_order(pipeline, inputs, draw):
            if isinstance(each.found, str):
                complain(each.path, each.found)
                yield _answer(each.path, UNOPENED, None, first)
            else:
                yield _answer(each.path, each.found.decision, each.found, each.found.model)


def in_order(
    pipeline: Pipeline, inputs: Iterable[bytes], draw: Draw | None = None
) -> Iterator[Classified]:
    """Yield the result of each input, in the order of the inputs.

    The memory is bounded: no more results wait for earlier ones than files are in the pipeline,
    which is empty again at the end, also where the caller stops early. draw: as in `answers`.
    Raises as `Pipeline.turn`.
    """
    done: dict[int, Classified] = {}  # that wait for earlier ones
    next_number = 0
    try:
        for number, classified in _numbered(pipeline, inputs, draw):
            done[number] = classified
            while next_number in done:
                yield done.pop(next_number)
                next_number += 1
    except GeneratorExit:
        for _ in drain(pipeline, iter(())):
            pass
        raise


def _numbered(
    pipeline: Pipeline, inputs: Iterable[bytes], draw: Draw | None
) -> Iterator[tuple[int, Classified]]:
    """Yield one numbered result for each input, in the order in which they are judged."""
    numbers: dict[int, int] = {}  # input numbers by descriptor
    unopened: list[tuple[int, Classified]] = []

    def opened() -> Iterator[Opened]:
        for number, path in enumerate(inputs):
            match _open(path):
                case Opened() as file:
                    numbers[file.descriptor] = number
                    yield file
                case why:
                    unopened.append((number, Classified(path, why)))

    for batch in drain(pipeline, opened()):
        for judged in batch.judged:
            number = numbers.pop(judged.opened.descriptor)
            if draw is not None:
                draw(number, judged)
            yield number, Classified(judged.opened.drop.path, judged)
        yield from unopened
        unopened.clear()
    yield from unopened


def _answer(path: bytes, decision: Decision, judged: Judged | None, model: Serving) -> Answer:
    header = judged.decoded.header if judged else None
    return answer(escaping.escape(path), decision, header, model)


def answer(path: str, decision: Decision, header: Header | None, model: Serving) -> Answer:
    """Return the answer for one input, by the names of COLUMNS. path: escaped."""
    box = decision.box
    values = (
        path,
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
        f"{model.name} {model.version}",
    )
    return dict(zip(COLUMNS, values, strict=True))
