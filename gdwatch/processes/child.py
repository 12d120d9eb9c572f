"""The parent's side of a child process: code that may hang, crash or be attacked runs in one.

A child runs a module of this package with a socket as standard input, and ends with its parent.
A child that fails is replaced.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from gdwatch.processes.messages import PACKET_BYTES, Died, Packet, encoded

ENVIRONMENT = {
    # One thread a process: more would compete with the other processes for cores.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # By default glibc returns large blocks to the kernel at once, and faults them in again, page by
    # page, for the next picture: a third of a worker's time on photographs of one megapixel.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


class Channel:
    """The parent's end of a socket to one process. end: a socket, made non-blocking."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(0)
        self._end = end

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self._end.fileno()

    def send(self, packet: Packet, descriptors: Sequence[int] = ()) -> None:
        """Send without blocking. Raises Died, or ValueError if the packet is too long."""
        content = encoded(packet)
        try:
            socket.send_fds(self._end, [content], descriptors)
        except OSError as error:
            raise Died from error

    def receive(self) -> Packet | None:
        """Receive the next packet; None if none has arrived. Raises Died."""
        try:
            content, _, flags, _ = self._end.recvmsg(PACKET_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            # It died with packets unread: Linux reports this once, ahead of its last packets.
            return self.receive()
        except OSError as error:
            raise Died from error
        if not content or flags & socket.MSG_TRUNC:  # the kernel drops the rest
            raise Died
        try:
            packet = json.loads(content)
        except ValueError as error:  # a hostile picture may have taken the worker over
            raise Died from error
        if not isinstance(packet, dict):
            raise Died
        return packet

    def close(self) -> None:
        """Close the socket: the process reads end of file."""
        self._end.close()


class Child(Channel):
    """A running child process.

    module: the name of the module to run. start: its first packet, sent with `descriptors`.
    forks: how many times the child forks, see `multiplied`; as an attribute, the channels to them.
    """

    def __init__(
        self, module: str, start: Packet, descriptors: Sequence[int], forks: int = 0
    ) -> None:
        pairs = [_pair() for _ in range(1 + forks)]
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
            with contextlib.suppress(Died):  # the next `receive` reports it
                self.send(start, [*descriptors, *(end.fileno() for _, end in others)])

    def is_alive(self) -> bool:
        """Whether the process itself still runs; its forks are not asked."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT  # `end` reaps it
        is_reaped = self.process.returncode is not None
        return not is_reaped and os.waitid(os.P_PID, self.process.pid, options) is None

    def end(self) -> None:
        """Kill the process group, the child and its forks, and reap them."""
        for channel in (self, *self.forks):
            channel.close()
        with contextlib.suppress(ProcessLookupError):  # reaped, and the process group is empty
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(ChildProcessError):
            while True:  # orphaned forks are ours only if we are process 1
                os.waitpid(-self.process.pid, 0)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a channel; the send buffer of each holds the longest packet."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PACKET_BYTES)  # Linux doubles it
    return pair
