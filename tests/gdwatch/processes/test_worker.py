import contextlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

import pytest
from PIL import Image

from gdwatch.decode.reduce import Reduction
from gdwatch.processes.child import Child
from gdwatch.processes.messages import Died, Packet
from gdwatch.processes.slots import Slots
from tests import build
from tests.build import photograph, wait_until

LAYOUT = Reduction(build.SIDE, whole=True)
START = {"max_pixels": 10_000, "memory_mb": 512}


@pytest.fixture(scope="module")
def slots() -> Slots:
    return Slots(3, LAYOUT)


@pytest.fixture
def worker(slots: Slots) -> Iterator[Child]:
    child = started(slots)
    yield child
    child.end()


def started(slots: Slots, **others: object) -> Child:
    """A worker that has said that it is ready."""
    start = {**START, "slots": slots.count, "layout": asdict(slots.layout), **others}
    child = Child("gdwatch.processes.worker", start, [slots.descriptor])
    assert wait_until(child.receive) == {"ready": True}
    return child


def answer(worker: Child, path: Path, slot: int = 0) -> Packet:
    descriptor = os.open(path, os.O_RDONLY)
    worker.send({"slots": [slot]}, [descriptor])
    os.close(descriptor)
    return wait_until(worker.receive)


def written(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "a").write_bytes(content)
    return tmp_path / "a"


def test_a_photograph_stands_in_its_slot(worker: Child, slots: Slots, tmp_path: Path) -> None:
    found = answer(worker, written(tmp_path, photograph(1, 200)), slot=2)
    assert found["slot"] == 2
    assert found["Photo"]["sha256"] == build.sha256(photograph(1, 200))
    assert found["Photo"]["header"] == {"width": 48, "height": 40, "format": "PNG"}
    assert abs(slots.photos[2].mean() - 200) < 3


def test_of_several_files_each_is_answered_before_the_next_is_begun(
    slots: Slots, tmp_path: Path
) -> None:
    worker = started(slots, max_pixels=100_000_000)
    contents = [photograph(1, 200), b"<html>", build.slow_photograph()]
    with contextlib.ExitStack() as opened:
        descriptors = []
        for number, content in enumerate(contents):
            (tmp_path / str(number)).write_bytes(content)
            file = opened.enter_context((tmp_path / str(number)).open("rb"))
            descriptors.append(file.fileno())
        worker.send({"slots": [2, 0, 1]}, descriptors)
    found = [wait_until(worker.receive) for _ in range(2)]
    worker.process.kill()  # at the third
    with pytest.raises(Died):
        wait_until(worker.receive)
    worker.end()
    assert [each["slot"] for each in found] == [2, 0]
    assert found[0]["Photo"]["sha256"] == build.sha256(contents[0])
    assert found[1]["Refusal"]["sha256"] == build.sha256(contents[1])


def test_a_refusal_has_the_hash_of_what_was_read(worker: Child, tmp_path: Path) -> None:
    found = answer(worker, written(tmp_path, b"<html>"))["Refusal"]
    assert (found["reason"], found["sha256"]) == ("not_an_image", build.sha256(b"<html>"))
    found = answer(worker, written(tmp_path, photograph(1, size=(200, 200))))["Refusal"]
    assert found["reason"] == "too_many_pixels"


def test_a_descriptor_is_read_from_its_beginning(worker: Child, tmp_path: Path) -> None:
    path = written(tmp_path, photograph(2))
    descriptor = os.open(path, os.O_RDONLY)
    os.lseek(descriptor, 100, os.SEEK_SET)
    worker.send({"slots": [0]}, [descriptor])
    assert "Photo" in wait_until(worker.receive)
    os.close(descriptor)


def test_what_decoders_say_of_a_picture_is_not_printed(slots: Slots, tmp_path: Path) -> None:
    image = Image.fromarray(build.pixels(1))
    packed = build.encode(image, "TIFF", compression="tiff_adobe_deflate")
    torn = packed[:100] + bytes(200) + packed[300:]  # libtiff says on standard error what it minds
    with printed() as stream:
        child = started(slots)
    assert answer(child, written(tmp_path, torn))["Refusal"]["reason"] == "damaged"
    child.end()
    assert stream.read() == ""


@contextmanager
def printed() -> Iterator[IO[str]]:
    """What children print that are started meanwhile, to be read when they have ended.

    A pipe, because a worker may write no file.
    """
    read, write = os.pipe()
    ours = os.dup(2)
    os.dup2(write, 2)
    os.close(write)
    try:
        yield os.fdopen(read)
    finally:
        os.dup2(ours, 2)
        os.close(ours)


def test_what_cannot_be_read_is_unreadable(worker: Child, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    worker.send({"slots": [0]}, [descriptor])
    assert wait_until(worker.receive)["Refusal"]["reason"] == "unreadable"
    os.close(descriptor)


def test_a_worker_is_limited(worker: Child, slots: Slots, tmp_path: Path) -> None:
    answer(worker, written(tmp_path, photograph(1)))
    pid = worker.process.pid
    limit = (512 << 20) + slots.size_bytes
    assert resource.prlimit(pid, resource.RLIMIT_AS) == (limit, limit)
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)


def test_a_worker_keeps_no_descriptor(worker: Child, tmp_path: Path) -> None:
    path = written(tmp_path, photograph(1))
    answer(worker, path)
    folder = f"/proc/{worker.process.pid}/fd"
    before = len(os.listdir(folder))
    for _ in range(20):
        answer(worker, path)
    assert len(os.listdir(folder)) == before


def test_a_worker_ends_when_nobody_speaks_to_it_any_more(worker: Child) -> None:
    worker.close()
    assert worker.process.wait(60) == 0


def test_a_worker_with_the_least_memory_decodes(slots: Slots, tmp_path: Path) -> None:
    child = started(slots, memory_mb=256)
    try:
        assert "Photo" in answer(child, written(tmp_path, photograph(1)))
    finally:
        child.end()


def test_a_dead_child_is_noticed_by_who_speaks_or_listens(worker: Child) -> None:
    worker.process.kill()
    worker.process.wait()
    with pytest.raises(Died):
        worker.receive()
    with pytest.raises(Died):
        worker.send({"slots": []})


def test_a_child_keeps_the_terminals_interrupt_away(worker: Child) -> None:
    assert os.getpgid(worker.process.pid) == worker.process.pid


def test_for_a_locator_the_photograph_keeps_its_shape(tmp_path: Path) -> None:
    slots = Slots(3, Reduction(60, whole=False))
    child = started(slots)
    try:
        found = answer(child, written(tmp_path, photograph(1, 200, size=(120, 60))), slot=1)
    finally:
        child.end()
    assert found["Photo"]["header"] == {"width": 120, "height": 60, "format": "PNG"}
    assert found["Photo"]["size"] == [60, 30]
    assert slots.photo(1, (60, 30)).shape == (30, 60, 3)
    assert abs(slots.photo(1, (60, 30)).mean() - 200) < 3
    slots.close()


def test_a_place_may_be_as_large_as_the_limit_of_memory(tmp_path: Path) -> None:
    slots = Slots(40, Reduction(1500, whole=False))
    assert slots.size_bytes > 256 << 20
    child = started(slots, memory_mb=256)
    try:
        assert "Photo" in answer(child, written(tmp_path, photograph(1)))
    finally:
        child.end()
        slots.close()
