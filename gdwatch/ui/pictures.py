"""Pictures of photographs, explanations of them, and rejected files to be taken away."""

import os
from collections.abc import Iterator
from typing import get_args
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gdwatch.files import content
from gdwatch.ledger.rows import Row
from gdwatch.ui import photographs, thumbnails
from gdwatch.ui.access import Refused
from gdwatch.ui.site import id_of, site_of
from gdwatch.ui.thumbnails import Size

_WHILE_IT_IS_THE_SAME = "private, max-age=3600"


async def picture(request: Request) -> Response:
    """Answer with a photograph's picture as WebP, decoded again. Raises GdwatchError, Refused."""
    size: Size = request.path_params["size"]
    if size not in get_args(Size):
        raise Refused(404, "There is no such size.")
    row = await run_in_threadpool(_row, request)
    made = await site_of(request).thumbnails.picture(row, size)
    return Response(made, 200, {"cache-control": _WHILE_IT_IS_THE_SAME}, "image/webp")


async def explanation(request: Request) -> Response:
    """Answer with the panel of a photograph. Raises GdwatchError, Refused."""
    row = await run_in_threadpool(_row, request)
    panel = await site_of(request).explanations.panel(row)
    return Response(panel, 200, {"cache-control": _WHILE_IT_IS_THE_SAME}, "image/png")


def download(request: Request) -> Response:
    """Answer with a rejected file's own bytes, to be saved and never shown. Raises GdwatchError."""
    row = _row(request)
    if row.outcome != "rejected":
        raise Refused(404, "Only rejected files are handed out.")
    opened = thumbnails.open_file(row, site_of(request).folders)
    size_bytes = opened.drop.identity.size_bytes
    name = row.path.rpartition(b"/")[2]
    headers = {
        "content-length": str(size_bytes),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    return StreamingResponse(
        _sent(opened.descriptor, size_bytes), 200, headers, "application/octet-stream"
    )


def _sent(descriptor: int, size_bytes: int) -> Iterator[bytes]:
    """Yield a file's bytes, no more than were promised, and close it."""
    try:
        for chunk in content.chunks(descriptor):
            yield chunk[:size_bytes]
            size_bytes -= len(chunk)
            if size_bytes <= 0:
                return
    finally:
        os.close(descriptor)


def _row(request: Request) -> Row:
    site, file_id = site_of(request), id_of(request)
    with site.ledger.reading() as connection:
        photographs.one(connection, site.ledger.root_id, file_id)  # of this root, or none
        return site.ledger.transaction(connection).row(file_id)
