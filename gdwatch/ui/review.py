"""Reviewing: one photograph after the other, and a person's verdict on each."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gdwatch.ui import counts, photographs, reasons
from gdwatch.ui.access import Refused
from gdwatch.ui.photographs import ORDERS, Photograph, Queue
from gdwatch.ui.site import Site, id_of, json_of, name_of, page, site_of
from gdwatch.values import OUTCOMES, Verdict

_PAGE = 12  # photographs that a browser gets at once


def review(request: Request) -> Response:
    """The page with the first photograph of a queue. Raises GdwatchError."""
    site, queue = site_of(request), _queue_of(request)
    with site.ledger.reading() as connection:
        by_reason = counts.by_reason(connection, site.ledger.root_id, queue.outcome)
    return page(
        request,
        "review.html",
        first=_next(site, queue, ""),
        queue=queue,
        waiting=sum(n for reason, n in by_reason.items() if reason in queue.reasons),
        by_reason=by_reason,
        orders=ORDERS,
        outcomes=OUTCOMES,
    )


def following(request: Request) -> Response:
    """The next photographs of a queue, as JSON. Raises GdwatchError."""
    queue = _queue_of(request)
    return JSONResponse(_next(site_of(request), queue, request.query_params.get("after", "")))


def _queue_of(request: Request) -> Queue:
    site, queue = site_of(request), photographs.queue_of(request.query_params)
    return replace(queue, below=site.ledger.text(site.folders.answers[queue.outcome]) + "/")


def _next(site: Site, queue: Queue, after: str) -> Mapping[str, Any]:
    key = photographs.key_of(after, photographs.KINDS[queue.order])
    with site.ledger.reading() as connection:
        found, last = photographs.page(connection, site.ledger.root_id, queue, key, _PAGE)
    return {
        "photographs": [_shown(each) for each in found],
        "after": None if last is None else json.dumps(last),
    }


async def verdict(request: Request) -> Response:
    """Record a verdict; answer with the command that `undo` takes back. Raises GdwatchError."""
    given = await json_of(request)
    word: Verdict = given.get("verdict", "")
    if word not in get_args(Verdict):
        raise Refused(400, "There is no such verdict.")
    say = site_of(request).wishes.say
    name, seen = name_of(request), str(given.get("seen", ""))
    command = await run_in_threadpool(say, id_of(request), word, name, seen)
    return JSONResponse({"command": command})


async def undo(request: Request) -> Response:
    """Take a verdict back; answer with its photographs as they are now. Raises GdwatchError."""
    site = site_of(request)
    ids = await run_in_threadpool(site.wishes.take_back, id_of(request), name_of(request))
    with site.ledger.reading() as connection:
        found = [photographs.one(connection, site.ledger.root_id, each) for each in ids]
    return JSONResponse({"photographs": [_shown(each) for each in found]})


async def requeue(request: Request) -> Response:
    """Have a file judged again. Raises GdwatchError."""
    wishes = site_of(request).wishes
    await run_in_threadpool(wishes.requeue, id_of(request), name_of(request))
    return JSONResponse({"next": None, "said": "It is being judged again."})


def _shown(photograph: Photograph) -> Mapping[str, Any]:
    """Return what the browser's module needs of a photograph; texts are set as text there."""
    return {
        "id": photograph.id,
        "name": photograph.name,
        "path": photograph.path,
        "seen": photograph.seen,
        "guess": photograph.label,
        "confidence": photograph.confidence,
        "reason": reasons.sentence_of(photograph.reason),
        "faces": photograph.faces,
        "box": photograph.box,
        "size": photograph.size,
        "model": photograph.model,
        "when": f"{photograph.recorded_at:%Y-%m-%d %H:%M} UTC",
    }
