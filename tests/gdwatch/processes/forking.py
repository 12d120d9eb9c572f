"""A child of the tests: as many processes as it gets channels, each says who it is."""

import os
import signal

from gdwatch.processes import parent


def main() -> None:
    """Answer each packet with the process id and what the start and the packet said."""
    channel, start, forks = parent.connect()
    channel = parent.multiplied(channel, forks)
    while True:
        packet, _ = parent.receive(channel)
        if packet is None:
            return
        parent.send(channel, {"pid": os.getpid(), **start, **packet})
        if "dies" in packet:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
