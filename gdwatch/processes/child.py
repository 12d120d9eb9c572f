"""A child as its parent sees it: what can hang, crash or be attacked runs in one, and is replaced.

A child is a module of ours with a socket as its standard input, and ends when its parent does.
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
    # One thread a process: more would wait for cores that the other processes use.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc gives large pieces of memory back at once, and takes them anew, page by page, for the
    # next picture: a third of a worker's time on photographs of a megapixel.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


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
        content = encoded(packet)
        try:
            socket.send_fds(self._end, [content], descriptors)
        except OSError as error:
            raise Died from error

    def receive(self) -> Packet | None:
        """Take the next packet; None if there is none now. Raises Died."""
        try:
            content, _, flags, _ = self._end.recvmsg(PACKET_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            # It has died with packets unread, which Linux tells once, and before what it has said.
            return self.receive()
        except OSError as error:
            raise Died from error
        if not content or flags & socket.MSG_TRUNC:  # the rest of a packet too long is lost
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


def _pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a channel, each of which holds the longest packet."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PACKET_BYTES)  # Linux doubles it
    return pair
