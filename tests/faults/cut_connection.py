"""A way to a PostgreSQL server that cuts a connection in the middle of a commit."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

_SOCKET = ".s.PGSQL.5432"
_COMMIT = b"COMMIT\0"
_HELD_S = 1.0  # of a commit that comes to the server late

# Which side has heard of a commit when the connection is gone: nobody; the server, which has also
# answered; or the server, but only after the client has come back.
When = Literal["unheard", "unanswered", "late"]


class Way:
    """A socket in a folder of its own, whose connections lead to a server.

    cuts: how often a commit was cut so far.
    """

    def __init__(self, home: Path, server: Path) -> None:
        self.home = home
        self._server = str(server / _SOCKET)
        self._wanted: list[When] = []
        self.cuts = 0
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._door.bind(str(home / _SOCKET))
        self._door.listen()

    def cut(self, when: When, after: int = 0) -> None:
        """Cut the connection at a commit. after: so many more commits are let through first."""
        self._wanted += [*["whole"] * after, when]  # type: ignore[list-item]

    def serve(self) -> None:
        """Let connections through, until the door is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _lead(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server,
        ):
            server.connect(self._server)
            while True:
                for side in select.select([client, server], [], [])[0]:
                    said = side.recv(65536)
                    if not said:
                        return
                    if side is server:
                        client.sendall(said)
                        continue
                    if said.endswith(_COMMIT) and (when := self._when()) is not None:
                        self._cut(client, server, said, when)
                        return
                    server.sendall(said)

    def _when(self) -> When | None:
        when = self._wanted.pop(0) if self._wanted else None
        return None if when == "whole" else when

    def _cut(self, client: socket.socket, server: socket.socket, said: bytes, when: When) -> None:
        self.cuts += 1
        if when == "late":
            client.close()
            time.sleep(_HELD_S)
        if when != "unheard":
            server.sendall(said)
            server.recv(65536)  # it has committed


@contextlib.contextmanager
def way(home: Path, server: Path) -> Iterator[Way]:
    """A way to the server with a socket in `server`; its own is in `home`."""
    home.mkdir()
    made = Way(home, server)
    thread = threading.Thread(target=made.serve, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join()
