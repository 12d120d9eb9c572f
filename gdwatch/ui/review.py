"""Reviewing: one photograph after the other, and a person's verdict on each."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gdwatch.root import review_list
from gdwatch.ui import counts, disagreement, photographs, reasons
from gdwatch.ui.access import Refused
from gdwatch.ui.photographs import ORDERS, Photograph, Queue
from gdwatch.ui.site import LARGEST_ID, Site, id_of, json_of, name_of, page, site_of
from gdwatch.ui.wishes import Said
from gdwatch.values import OUTCOMES, Verdict

_PAGE = 12  # photographs that a browser gets at once
MANY = 60  # of them where many are shown, and at most in one verdict


def review(request: Request) -> Response:
    """The page with the first photograph of a queue. Raises GdwatchError."""
    site, queue = site_of(request), _queue_of(request)
    return _page(request, "review.html", site, queue, _PAGE)


def many(request: Request) -> Response:
    """The page with many small photographs of a queue, to be chosen. Raises GdwatchError."""
    site, queue = site_of(request), _queue_of(request)
    return _page(request, "many.html", site, queue, MANY)


def _page(request: Request, template: str, site: Site, queue: Queue, most: int) -> Response:
    with site.ledger.reading() as connection:
        by_reason = counts.by_reason(connection, site.ledger.root_id, queue.outcome)
        models = counts.model_count(connection)
    return page(
        request,
        template,
        first=_next(site, queue, "", most),
        queue=queue,
        waiting=sum(n for reason, n in by_reason.items() if reason in queue.reasons),
        by_reason=by_reason,
        orders=[each for each in ORDERS if each != "disagreement" or models > 1],
        outcomes=OUTCOMES,
        query=request.url.query,
    )


def following(request: Request) -> Response:
    """The next photographs of a queue, as JSON. Raises GdwatchError."""
    queue = _queue_of(request)
    after = request.query_params.get("after", "")
    most = MANY if request.query_params.get("many") else _PAGE
    return JSONResponse(_next(site_of(request), queue, after, most))


def _queue_of(request: Request) -> Queue:
    site, queue = site_of(request), photographs.queue_of(request.query_params)
    below = site.ledger.text(site.folders.answers[queue.outcome]) + "/"
    listed = review_list.read(site.folders.state) if queue.order == "teach" else ()
    return replace(queue, below=below, listed=listed)


def _next(site: Site, queue: Queue, after: str, most: int) -> Mapping[str, Any]:
    key = photographs.key_of(after, photographs.KINDS[queue.order])
    with site.ledger.reading() as connection:
        read = disagreement.page if queue.order == "disagreement" else photographs.page
        found, last = read(connection, site.ledger.root_id, queue, key, most)
    return {
        "photographs": [_shown(each) for each in found],
        "after": None if last is None else json.dumps(last),
    }


async def verdict(request: Request) -> Response:
    """Record a verdict; answer with the command that `undo` takes back. Raises GdwatchError."""
    given = await json_of(request)
    seen = {id_of(request): str(given.get("seen", ""))}
    said = await _say(request, seen, given)
    if said.refused:
        raise said.refused[0]
    return JSONResponse({"command": said.command_id})


async def verdicts(request: Request) -> Response:
    """Record one verdict on many photographs; answer as `verdict`, and for which it was.

    Raises GdwatchError.
    """
    given = await json_of(request)
    wanted = given.get("seen")
    if not isinstance(wanted, dict) or not 0 < len(wanted) <= MANY:
        raise Refused(400, f"Choose 1 to {MANY} photographs.")
    if not all(isinstance(each, str) for each in wanted.values()):
        raise Refused(400, "The request is not understood.")
    said = await _say(request, {_number(id_): seen for id_, seen in wanted.items()}, given)
    refused = [error.message for error in said.refused]
    return JSONResponse({"command": said.command_id, "ids": said.ids, "refused": refused})


async def _say(request: Request, seen: Mapping[int, str], given: Mapping[str, Any]) -> Said:
    word: Verdict = given.get("verdict", "")
    if word not in get_args(Verdict):
        raise Refused(400, "There is no such verdict.")
    return await run_in_threadpool(site_of(request).wishes.say, seen, word, name_of(request))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:20]) <= LARGEST_ID):
        raise Refused(404, "There is no such photograph.")
    return int(text)


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
