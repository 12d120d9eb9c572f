"""The folder of answers: what is to be judged, part by part, and the answers as Parquet.

    OUT/_run.json                    which models and rules have answered here
    OUT/_inputs/00000012.parquet     the pictures of part 12: path, size_bytes
    OUT/part-00000012.parquet        their answers, in the same order

A part's pictures never change once they are written, and its answers are there whole or not at
all. So each picture has one answer, whoever is killed when, and a run goes on with the parts that
have none.
"""

import io
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gdwatch import __version__
from gdwatch.cluster.storage import Picture, Place, failed, tried_again
from gdwatch.errors import GdwatchError, HeldError
from gdwatch.files.atomic_write import replacing_durably
from gdwatch.jobs.classify import COLUMNS, Answer
from gdwatch.values import Serving

_REAL, _WHOLE = pa.float64(), pa.int32()
_TYPES = {
    "confidence": _REAL, "p_male": _REAL, "faces": _WHOLE,
    "box_x": _REAL, "box_y": _REAL, "box_w": _REAL, "box_h": _REAL,
    "width": _WHOLE, "height": _WHOLE,
}  # fmt: skip
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.string())) for name in COLUMNS])
_INPUTS = pa.schema([("path", pa.string()), ("size_bytes", pa.int64())])


@dataclass(frozen=True, slots=True)
class Part:
    """The pictures that one file of answers is for."""

    number: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """A part whose answers are written. unread: how many of its pictures were `unreadable`."""

    number: int
    outcomes: Counter[str]
    unread: int

    @property
    def count(self) -> int:
        """How many pictures it has."""
        return self.outcomes.total()


class Output:
    """The folder of answers, as the one driver of a run sees it.

    Raises GdwatchError if it holds the answers of other models or rules.
    """

    def __init__(self, place: Place, models: Sequence[Serving]) -> None:
        self._place = place
        self._require_same({
            "gdwatch": __version__,
            "models": [each.sha256 for each in models],
            "rules": [each.rules for each in models],
        })  # fmt: skip
        self._inputs = _numbers(place.below("_inputs"), "")
        self._next = max(self._inputs, default=-1) + 1
        self._done = _numbers(place, "part-")

    def _require_same(self, run: dict[str, Any]) -> None:
        file = self._place.below("_run.json")
        try:
            found = json.loads(tried_again(lambda: file.files.cat_file(file.path), str(file)))
        except FileNotFoundError:
            _put(file, json.dumps(run, indent=2).encode())
            return
        except ValueError as error:
            raise GdwatchError(f"{file}: not readable", "name another folder with -o") from error
        if any(found.get(name) != run[name] for name in ("models", "rules")):
            raise GdwatchError(
                f"{self._place}: holds the answers of another model or of other settings",
                "name another folder with -o",
            )

    def unfinished(self) -> Iterator[int]:
        """Yield the numbers of the parts that have no answers yet."""
        yield from (number for number in sorted(self._inputs) if number not in self._done)

    def known(self) -> Iterator[str]:
        """Yield the path of each picture that a part has."""
        for number in sorted(self._inputs):
            yield from (each.path for each in read(self._place, number).pictures)

    def added(self, pictures: Sequence[Picture]) -> int:
        """Write a new part, and return its number.

        Raises HeldError if another run has written this part meanwhile.
        """
        number = self._next
        rows = {"path": [each.path for each in pictures],
                "size_bytes": [each.size_bytes for each in pictures]}  # fmt: skip
        file = _input(self._place, number)
        try:
            _put(file, _parquet(pa.table(rows, _INPUTS)), new=True)
        except FileExistsError as error:
            raise HeldError(
                f"{self._place}: another run writes there", "wait until it has ended"
            ) from error
        self._next += 1
        return number


def read(place: Place, number: int) -> Part:
    """Read what the pictures of a part are. Raises StorageFailed."""
    file = _input(place, number)
    content = tried_again(lambda: file.files.cat_file(file.path), str(file))
    table = pq.read_table(io.BytesIO(content), schema=_INPUTS)
    return Part(number, tuple(Picture(**row) for row in table.to_pylist()))


def write(place: Place, number: int, answers: Sequence[Answer]) -> Written:
    """Write the answers of a part, whole or not at all. Raises StorageFailed."""
    table = pa.Table.from_pylist(list(answers), SCHEMA)
    _put(place.below(f"part-{number:08}.parquet"), _parquet(table))
    return Written(
        number,
        Counter(each["outcome"] for each in answers),
        sum(each["reason"] == "unreadable" for each in answers),
    )


def _input(place: Place, number: int) -> Place:
    return place.below("_inputs").below(f"{number:08}.parquet")


def _numbers(folder: Place, prefix: str) -> set[int]:
    """Return the numbers of the parts that have a file here."""
    try:
        found = tried_again(lambda: folder.files.ls(folder.path, detail=False), str(folder))
    except FileNotFoundError:
        return set()
    stems = [name.rpartition("/")[2].removesuffix(".parquet") for name in found
             if name.endswith(".parquet")]  # fmt: skip
    numbers = [stem.removeprefix(prefix) for stem in stems if stem.startswith(prefix)]
    return {int(number) for number in numbers if number.isdigit()}


def _parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def _put(file: Place, content: bytes, *, new: bool = False) -> None:
    """Write a file so that it appears whole. new: raise FileExistsError if it is there."""
    if not file.is_local:  # an object appears whole
        mode = "create" if new else "overwrite"
        tried_again(lambda: file.files.pipe_file(file.path, content, mode=mode), str(file))
        return
    path = Path(file.path)
    if new and path.exists():  # the folder is locked by its driver
        raise FileExistsError(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A judge that was taken for dead may still be writing the same answers.
        with replacing_durably(path, f".{uuid.uuid4().hex}") as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise failed(str(file), error) from error
