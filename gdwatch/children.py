"""Child processes: what can hang, crash or be attacked runs in one, and can be replaced.

A child is a module of ours with a socket as its standard input. Packets are JSON, small, and may
carry file descriptors; nothing from a child is ever unpickled. A child ends when its parent does.
"""

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_PACKET_BYTES = 128 * 1024
MOST_DESCRIPTORS = 16  # in one packet
_PR_SET_PDEATHSIG = 1
ENVIRONMENT = {
    # One thread a process: more would wait for cores that the other processes use.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc gives large pieces of memory back at once, and takes them anew, page by page, for the
    # next picture: a third of a worker's time on photographs of a megapixel.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
Packet = Mapping[str, Any]


class Died(Exception):  # noqa: N818 - what happened to the child, not a failure of ours
    """The child is no more, does not listen, or talks nonsense."""


class Channel:
    """The parent's end of a socket to one process. end: never waited for."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(0)
        self._end = end

    def fileno(self) -> int:
        """Let a selector wait for packets."""
        return self._end.fileno()

    def send(self, packet: Packet, descriptors: Sequence[int] = ()) -> None:
        """Hand over a packet without ever waiting. Raises Died."""
        try:
            socket.send_fds(self._end, [json.dumps(packet).encode()], descriptors)
        except OSError as error:
            raise Died from error

    def receive(self) -> Packet | None:
        """Take the next packet; None if there is none now. Raises Died."""
        try:
            content = self._end.recv(_PACKET_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            # It has died with packets unread, which Linux tells once, and before what it has said.
            return self.receive()
        except OSError as error:
            raise Died from error
        if not content:
            raise Died
        try:
            packet = json.loads(content)
        except ValueError as error:  # what decodes hostile bytes may end up saying anything
            raise Died from error
        if not isinstance(packet, dict):
            raise Died
        return packet

    def close(self) -> None:
        """Let the process see that its parent listens no longer."""
        self._end.close()


class Child(Channel):
    """One running child process, seen from its parent.

    forks: channels to the processes that it makes of itself, see `multiplied`.
    """

    def __init__(
        self, module: str, start: Packet, descriptors: Sequence[int], forks: int = 0
    ) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(1 + forks)]
        (ours, theirs), *others = pairs
        super().__init__(ours)
        self.forks = [Channel(end) for end, _ in others]
        with contextlib.ExitStack() as stack:
            for _, end in pairs:
                stack.enter_context(end)
            # -P keeps the working folder out of the module path. A process group of its own
            # keeps the terminal's Ctrl-C away: the parent decides when a child ends.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=theirs.fileno(),
                stdout=2,
                env={**os.environ, **ENVIRONMENT},
                process_group=0,
            )
            with contextlib.suppress(Died):  # whoever listens next learns of it
                self.send(start, [*descriptors, *(end.fileno() for _, end in others)])

    def is_alive(self) -> bool:
        """Whether the process, forks aside, has not ended yet."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT  # `end` reaps it
        is_reaped = self.process.returncode is not None
        return not is_reaped and os.waitid(os.P_PID, self.process.pid, how) is None

    def end(self) -> None:
        """Stop the process and its forks, whatever they are doing, and reap them."""
        for channel in (self, *self.forks):
            channel.close()
        with contextlib.suppress(ProcessLookupError):  # reaped already, and nobody was left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(ChildProcessError):
            while True:  # forks are only ours where we are the first process of a container
                os.waitpid(-self.process.pid, 0)


def parent() -> tuple[socket.socket, Packet, list[int]]:
    """In a child: the channel to the parent, its first packet, and the descriptors with it."""
    _die_with(os.getppid())
    channel = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)  # a channel has one end in one process: closed, it says who died
    os.close(nowhere)
    packet, received = receive(channel)
    if packet is None:
        raise SystemExit
    return channel, packet, received


def multiplied(channel: socket.socket, forks: Sequence[int]) -> socket.socket:
    """In a child without threads: become several, which share what is in memory by then.

    forks: the descriptors of the others' channels, one for each process more.

    Returns, in each process, its own channel. All end when this one does.
    """
    first = os.getpid()
    gc.collect()
    gc.freeze()  # the collector would write on every page that holds an object
    for number, descriptor in enumerate(forks):
        if os.fork() == 0:
            _die_with(first)
            channel.close()
            for later in forks[number + 1 :]:
                os.close(later)
            return socket.socket(fileno=descriptor)
        os.close(descriptor)
    return channel


def _die_with(parent: int) -> None:
    """End with the parent, even while a decoder or a network holds this process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that call
        os._exit(1)


def receive(channel: socket.socket) -> tuple[Packet | None, list[int]]:
    """In a child: wait for the next packet and what came with it; None when the parent has gone."""
    with contextlib.suppress(ConnectionError):
        content, received, _, _ = socket.recv_fds(channel, _PACKET_BYTES, MOST_DESCRIPTORS)
        if content:
            return json.loads(content), received
    return None, []


def has_packet(channel: socket.socket) -> bool:
    """In a child: whether `receive` would return at once."""
    readable, _, _ = select.select([channel], [], [], 0)
    return bool(readable)


def send(channel: socket.socket, packet: Packet) -> None:
    """In a child: answer; end quietly when the parent has gone."""
    try:
        channel.send(json.dumps(packet).encode())
    except ConnectionError:
        raise SystemExit from None
