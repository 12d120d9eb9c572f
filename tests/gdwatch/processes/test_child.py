import ctypes
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gdwatch.processes.child import Channel, Child
from gdwatch.processes.messages import Died
from tests import build

PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def forking(forks: int) -> Iterator[Child]:
    child = Child("tests.gdwatch.processes.forking", {"said": "start"}, [], forks=forks)
    try:
        yield child
    finally:
        if child.process.returncode is None:
            child.end()


def answer(channel: Channel) -> Any:
    select.select([channel], [], [], build.DEADLINE_S)
    return channel.receive()


def ask(channel: Channel, **packet: object) -> Any:
    channel.send(packet)
    return answer(channel)


def test_every_channel_leads_to_a_process_of_its_own() -> None:
    with forking(2) as child:
        told = [ask(channel, number=n) for n, channel in enumerate((child, *child.forks))]
        assert [(each["said"], each["number"]) for each in told] == [("start", n) for n in range(3)]
        assert told[0]["pid"] == child.process.pid
        assert {each["pid"] for each in told} == {
            child.process.pid,
            *build.children(told[0]["pid"]),
        }


def test_a_fork_that_dies_closes_its_channel_alone() -> None:
    with forking(2) as child:
        first, second = child.forks
        os.kill(ask(first)["pid"], signal.SIGKILL)
        with pytest.raises(Died):
            answer(first)
        assert ask(child)["pid"] == child.process.pid
        assert ask(second)["pid"] in build.children(child.process.pid)


def test_all_die_with_the_first() -> None:
    with forking(2) as child:
        pids = [ask(channel)["pid"] for channel in (child, *child.forks)]
        os.kill(child.process.pid, signal.SIGKILL)
        for channel in (child, *child.forks):
            with pytest.raises(Died):
                answer(channel)
        build.wait_until(lambda: not any(map(build.is_alive, pids)))


def test_what_a_child_has_said_is_heard_though_it_died_with_packets_unread() -> None:
    with forking(0) as child:
        os.kill(ask(child)["pid"], signal.SIGSTOP)
        for number in range(3):
            child.send({"number": number, "dies": True} if number == 1 else {"number": number})
        os.kill(child.process.pid, signal.SIGCONT)
        os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
        assert [answer(child)["number"] for _ in range(2)] == [0, 1]
        with pytest.raises(Died):
            answer(child)


def test_a_child_that_cannot_even_listen_has_died() -> None:
    child = Child("tests.gdwatch.no_such_module", {}, [], forks=1)
    for channel in (child, *child.forks):
        with pytest.raises(Died):
            answer(channel)
    child.end()
    assert child.process.returncode == 1


def test_no_dead_fork_is_left_to_the_first_process_of_a_container() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans become ours, as if there were nobody else
    try:
        with forking(3) as child:
            pids = [ask(channel)["pid"] for channel in (child, *child.forks)]
            child.end()
            assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)
