"""Connecting to a Ray cluster, or starting one on this machine alone."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator

import ray
import ray.exceptions

from gdwatch.errors import GdwatchError

_REACHED_S = 10.0


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be connected to the cluster at this address, `HOST:PORT`; None: one of this machine alone.

    Raises GdwatchError if it cannot be reached.
    """
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    else:
        _require_reached(address)
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,  # what a person needs comes as an error
            logging_level=logging.ERROR,
        )
    # Which of these it is depends on what is wrong, and on Ray's version.
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        ray.shutdown()
        raise GdwatchError(
            f"Ray cluster at {address or 'this machine'}: {first_line(error)}",
            "see that `ray status` answers there, and that Ray and Python have the same versions",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_reached(address: str) -> None:
    """Raise GdwatchError if nobody listens there: Ray itself would wait for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not (colon and port.isdigit()):
        return  # such as `auto`, which Ray resolves
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_S).close()
    except (OSError, OverflowError) as error:
        raise GdwatchError(
            f"Ray cluster at {address}: {first_line(error).lower()}",
            "see that `ray status` answers there, and name its --address",
        ) from error


def first_line(error: BaseException) -> str:
    """Return what an error says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
