"""The folder of answers: parts that are there whole or not at all, and what is left to do."""

from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra `ray`")

import pyarrow.dataset

from gdwatch.cluster import parts, storage
from gdwatch.cluster.parts import Output
from gdwatch.cluster.storage import Picture, Place, StorageFailed
from gdwatch.errors import GdwatchError, HeldError
from gdwatch.jobs.classify import answer
from gdwatch.values import Box, Decision, Header
from tests import build

MODELS = (build.serving(),)
PICTURES = [Picture("/a.jpg", 5), Picture("s3://b/ü.jpg", None)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return storage.place(str(tmp_path / "out"))


def answers() -> list[dict]:
    decision = Decision("male", None, "male", 0.9, 0.9, 2, Box(1, 2, 3, 4))
    return [
        answer("/a.jpg", decision, Header(640, 480, "JPEG"), MODELS[0]),
        answer("s3://b/ü.jpg", Decision("rejected", "unreadable"), None, MODELS[0]),
    ]


def test_a_part_is_left_to_do_until_it_has_answers(place: Place) -> None:
    output = Output(place, MODELS)
    assert output.added(PICTURES) == 0
    assert output.added(PICTURES[:1]) == 1
    assert parts.read(place, 0).pictures == tuple(PICTURES)
    written = parts.write(place, 0, answers())
    assert (written.count, written.unread, written.outcomes["male"]) == (2, 1, 1)
    later = Output(place, MODELS)
    assert list(later.unfinished()) == [1]
    assert list(later.known()) == ["/a.jpg", "s3://b/ü.jpg", "/a.jpg"]
    assert later.added(PICTURES) == 2


def test_answers_are_read_as_one_table_without_the_inputs(place: Place) -> None:
    Output(place, MODELS).added(PICTURES)
    parts.write(place, 0, answers())
    parts.write(place, 0, answers())  # a judge that was taken for dead
    table = pyarrow.dataset.dataset(place.path, format="parquet").to_table()
    assert table.schema.equals(parts.SCHEMA, check_metadata=False)
    first, second = table.to_pylist()
    assert (first["path"], first["outcome"], first["box_w"]) == ("/a.jpg", "male", 3.0)
    assert (second["reason"], second["width"]) == ("unreadable", None)


def test_other_rules_need_another_folder(place: Place) -> None:
    Output(place, MODELS)
    with pytest.raises(GdwatchError, match="another model") as refused:
        Output(place, (build.serving("another"),))
    assert "-o" in refused.value.hint


def test_a_second_run_that_writes_there_is_refused(place: Place) -> None:
    first, second = Output(place, MODELS), Output(place, MODELS)
    first.added(PICTURES)
    with pytest.raises(HeldError, match="another run"):
        second.added(PICTURES)


def test_a_folder_that_cannot_be_written_is_named(place: Place) -> None:
    Path(place.path).write_bytes(b"a file lies in its place")
    with pytest.raises(StorageFailed, match="out"):
        parts.write(place, 0, answers())
