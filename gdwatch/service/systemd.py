"""Notifications to systemd, sd_notify(3): ready, alive, stopping. Without systemd, no-ops."""

import contextlib
import os
import socket


def tell(message: str) -> None:
    """Send a message, such as `READY=1`, to the socket that NOTIFY_SOCKET names, if it is set."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # a name in the abstract namespace
        address = "\0" + address[1:]
    # A service manager that does not listen must not stop the service.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(message.encode(), address)


def watchdog_s() -> float | None:
    """Return systemd's watchdog period in seconds; None if there is no watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() else None
