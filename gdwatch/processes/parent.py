"""The child's side of a child process: the channel to its parent, and forking."""

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
from collections.abc import Sequence

from gdwatch.processes.messages import MOST_DESCRIPTORS, PACKET_BYTES, Packet, encoded

_PR_SET_PDEATHSIG = 1


def connect() -> tuple[socket.socket, Packet, list[int]]:
    """In a child: return the channel to the parent, the first packet and its descriptors.

    Raises SystemExit if the parent has ended.
    """
    _die_with(os.getppid())
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)  # a fork would keep a copy open, and hide that this process died
    os.close(null)
    packet, received = receive(channel)
    if packet is None:
        raise SystemExit
    return channel, packet, received


def multiplied(channel: socket.socket, forks: Sequence[int]) -> socket.socket:
    """In a child without threads: fork; the processes share the memory filled so far.

    forks: the descriptors of the channels of the new processes, one each.

    Returns, in each process, its own channel. The forks end with this process. Raises OSError.
    """
    first = os.getpid()
    gc.collect()
    gc.freeze()  # a collection writes to every page of objects, and would unshare it
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
    """Have the kernel kill this process with its parent, even in the middle of C code."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before that call
        os._exit(1)


def receive(channel: socket.socket) -> tuple[Packet | None, list[int]]:
    """In a child: wait for the next packet and its descriptors; None if the parent has ended.

    Raises ValueError if the packet or its descriptors were truncated.
    """
    with contextlib.suppress(ConnectionError):
        content, received, flags, _ = socket.recv_fds(channel, PACKET_BYTES, MOST_DESCRIPTORS)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError("what the parent has sent is longer than a packet may be")
        if content:
            return json.loads(content), received
    return None, []


def has_packet(channel: socket.socket) -> bool:
    """In a child: whether `receive` would return at once."""
    readable, _, _ = select.select([channel], [], [], 0)
    return bool(readable)


def send(channel: socket.socket, packet: Packet) -> None:
    """In a child: send a packet. Raises SystemExit if the parent has ended."""
    try:
        channel.send(encoded(packet))
    except ConnectionError:
        raise SystemExit from None
