"""The overview: what the service does, what was filed when, and how sure the model was."""

import os
import shlex
from dataclasses import astuple
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gdwatch.errors import GdwatchError
from gdwatch.root import lock
from gdwatch.root.status_file import Status, read
from gdwatch.ui import photographs
from gdwatch.ui.site import Site, page, site_of
from gdwatch.values import OUTCOMES

_NEWEST = 18
_PATIENCE_S = 0.1  # that a page waits for the first count


def overview(request: Request) -> Response:
    """The page that says how things stand. Raises GdwatchError."""
    site = site_of(request)
    with site.ledger.reading() as connection:
        newest = photographs.newest(connection, site.ledger.root_id, _NEWEST)
    counts = site.counter.counts(_PATIENCE_S)
    root = shlex.quote(os.fsdecode(site.folders.root))
    return page(
        request,
        "overview.html",
        status=_status(site),
        counts=counts,
        steps=[astuple(each) for each in counts.steps] if counts else [],
        train=f"gdtrain tune {root} --out better-model",
        newest=newest,
        outcomes=OUTCOMES,
    )


def _status(site: Site) -> dict[str, Any]:
    told = read(site.folders.state) or Status("stopped")
    try:
        is_held = lock.is_held(site.folders.state)
    except GdwatchError:
        is_held = False
    state = told.state if is_held else "stopped"
    return {
        "state": state,
        "reason": told.reason if state == "paused" else None,
        "model": told.model,
        "skipped": told.skipped,
    }
