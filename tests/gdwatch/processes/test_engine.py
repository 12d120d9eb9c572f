"""How the engine's answers arrive, whatever their length."""

import select
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from gdwatch.decode.reduce import Reduction
from gdwatch.pipeline.engine_client import Answered, _Lane
from gdwatch.pipeline.task import Task
from gdwatch.processes import messages, parent
from gdwatch.processes.child import Channel, Child
from gdwatch.processes.messages import PACKET_BYTES, Died
from gdwatch.processes.slots import Slots
from gdwatch.values import Header, Photo
from tests import build
from tests.gdwatch.processes.crowded_engine import CROWD

MOST = 512  # photographs in a batch, by the setting
SEEN = replace(
    CROWD,
    faces=tuple(replace(face, score=round(face.score, 4)) for face in CROWD.faces),
)


@pytest.fixture
def lane() -> Iterator[_Lane]:
    with closing(Slots(MOST, Reduction(4, whole=True))) as slots:
        start = {"slots": slots.count, "layout": asdict(slots.layout)}
        child = Child("tests.gdwatch.processes.crowded_engine", start, [slots.descriptor])
        yield _Lane(child)
        child.end()


def answered(lane: _Lane) -> Answered:
    while True:
        select.select([lane.channel], [], [], build.DEADLINE_S)
        packet = lane.channel.receive()
        assert packet is not None, "not in time"
        answer = lane.answered(packet)
        if answer is not None:
            return answer


def task(slot: int) -> Task:
    photo = Photo("0" * 64, Header(4, 4, "PNG"), (4, 4), 1.0)
    return Task(None, slot=slot, decoded=photo)  # type: ignore[arg-type] - no file is needed


FULL = messages._MOST_SCORES


@pytest.mark.parametrize("count", [1, FULL, FULL + 1, 2 * FULL, MOST])
def test_the_longest_answer_arrives_whole(lane: _Lane, count: int) -> None:
    for _ in range(2):  # the second is none of the first
        lane.judge([task(slot) for slot in range(count)])
        answer = answered(lane)
        assert answer.scores == [SEEN] * count
        assert (answer.splits, len(answer.asked.tasks)) == (0, count)
        assert not lane.batches


def test_no_batch_may_be_larger(tmp_path: Path) -> None:
    build.make_settings(tmp_path, batch_size=MOST)
    with pytest.raises(ValueError, match="less than or equal to 512"):
        build.make_settings(tmp_path, batch_size=MOST + 1)


def test_the_longest_question_fits_in_a_packet() -> None:
    slots, sizes = [10**7] * MOST, [(10**6, 10**6)] * MOST
    assert len(messages.encoded({"slots": slots, "sizes": sizes})) < PACKET_BYTES


# ------------------------------------------------------------------------- too long


def longer() -> bytes:
    """One byte more than there may be; what is left of it when it is cut is sound JSON."""
    return b"{}" + b" " * (PACKET_BYTES - 1)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_a_packet_that_is_too_long_is_never_taken_for_a_shorter_one(ends: Any) -> None:
    ours, theirs = ends
    theirs.send(longer())
    with pytest.raises(Died):
        Channel(ours).receive()


def test_nor_does_a_child_take_it_for_one(ends: Any) -> None:
    ours, theirs = ends
    ours.send(longer())
    with pytest.raises(ValueError, match="longer than"):
        parent.receive(theirs)


def test_a_packet_that_is_too_long_is_not_sent(ends: Any) -> None:
    ours, theirs = ends
    packet = {"said": "a" * PACKET_BYTES}
    with pytest.raises(ValueError, match="longer than"):
        Channel(ours).send(packet)
    with pytest.raises(ValueError, match="longer than"):
        parent.send(theirs, packet)


def test_the_kernel_holds_the_longest_packet_whatever_its_default_is() -> None:
    child = Child("tests.gdwatch.processes.forking", {}, [], forks=1)
    try:
        for channel in (child, *child.forks):
            size = channel._end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            assert size >= 2 * PACKET_BYTES
    finally:
        child.end()
