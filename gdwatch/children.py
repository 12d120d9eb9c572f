"""Child processes: what can hang, crash or be attacked runs in one, and can be replaced.

A child is a module of ours with a socket as its standard input. Packets are JSON, small, and may
carry file descriptors; nothing from a child is ever unpickled. A child ends when its parent does.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_PACKET_BYTES = 128 * 1024
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


class Child:
    """One running child process, seen from its parent."""

    def __init__(self, module: str, start: Packet, descriptors: Sequence[int]) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(0)
        with theirs:
            # -P keeps the working folder out of the module path. A process group of its own
            # keeps the terminal's Ctrl-C away: the parent decides when a child ends.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=theirs.fileno(),
                stdout=2,
                env={**os.environ, **ENVIRONMENT},
                process_group=0,
            )
        self.send(start, descriptors)

    def fileno(self) -> int:
        """Let a selector wait for packets."""
        return self.channel.fileno()

    def send(self, packet: Packet, descriptors: Sequence[int] = ()) -> None:
        """Hand over a packet without ever waiting. Raises Died."""
        try:
            socket.send_fds(self.channel, [json.dumps(packet).encode()], descriptors)
        except OSError as error:
            raise Died from error

    def receive(self) -> Packet | None:
        """Take the next packet; None if there is none now. Raises Died."""
        try:
            content = self.channel.recv(_PACKET_BYTES)
        except BlockingIOError:
            return None
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

    def end(self) -> None:
        """Stop the process, whatever it is doing, and reap it."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


def parent(descriptors: int) -> tuple[socket.socket, Packet, list[int]]:
    """In a child: the channel to the parent, its first packet, and the descriptors with it."""
    # The child dies with its parent even while a decoder holds it; the end of file on the
    # channel covers the moment before this call.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    channel = socket.socket(fileno=os.dup(0))
    packet, received = receive(channel, descriptors)
    if packet is None:
        raise SystemExit
    return channel, packet, received


def receive(channel: socket.socket, descriptors: int = 0) -> tuple[Packet | None, list[int]]:
    """In a child: wait for the next packet; None when the parent has gone."""
    with contextlib.suppress(ConnectionError):
        content, received, _, _ = socket.recv_fds(channel, _PACKET_BYTES, descriptors)
        if content:
            return json.loads(content), received
    return None, []


def send(channel: socket.socket, packet: Packet) -> None:
    """In a child: answer; end quietly when the parent has gone."""
    try:
        channel.send(json.dumps(packet).encode())
    except ConnectionError:
        raise SystemExit from None
