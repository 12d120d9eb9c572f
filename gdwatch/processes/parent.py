"""The parent as a child sees it: the channel to it, and becoming several processes."""

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
    """In a child: answer; end quietly when the parent has gone."""
    try:
        channel.send(encoded(packet))
    except ConnectionError:
        raise SystemExit from None
