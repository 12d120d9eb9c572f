"""One photograph: its picture, what is known of it, and its story, as `gdwatch show` tells it."""

from starlette.requests import Request
from starlette.responses import Response

from gdwatch.jobs import story
from gdwatch.ledger import queries
from gdwatch.ui import photographs
from gdwatch.ui.site import id_of, page, site_of


def one(request: Request) -> Response:
    """The page of one photograph. Raises GdwatchError, Refused."""
    site, file_id = site_of(request), id_of(request)
    with site.ledger.reading() as connection:
        found = photographs.one(connection, site.ledger.root_id, file_id)
        events = story.told(
            map(dict, queries.all_results(connection, file_id)),
            map(dict, queries.all_corrections(connection, file_id)),
            map(dict, queries.all_moves(connection, file_id)),
        )
    return page(request, "one.html", photograph=found, events=events)
