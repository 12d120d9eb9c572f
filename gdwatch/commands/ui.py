"""`gdwatch ui`: serve the page for looking at decisions, and for reviewing."""

import sys

from gdwatch.errors import ActionNeeded
from gdwatch.settings import Settings


def ui(settings: Settings) -> None:
    """Serve the page until SIGINT or SIGTERM. Raises GdwatchError."""
    try:
        from gdwatch.ui import server
    except ModuleNotFoundError as error:
        raise ActionNeeded(
            f"ui: {error.name} is not installed", "pip install 'gdwatch[ui]'"
        ) from error
    server.serve(settings, _say)


def _say(address: str) -> None:
    print(f"gdwatch: the page is at {address}", file=sys.stderr)
