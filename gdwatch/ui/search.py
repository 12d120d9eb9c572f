"""Finding photographs by name, folder, day, outcome, reason and confidence; and the rejected ones.

The conditions are shown as one SQL statement over `current_results`, to be taken along.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from gdwatch.errors import GdwatchError
from gdwatch.ledger.tables import files, results
from gdwatch.ui import photographs
from gdwatch.ui.photographs import Photograph, Selected
from gdwatch.ui.site import page, site_of
from gdwatch.values import OUTCOMES, REASONS

_PAGE = 48
_LONGEST = 200  # characters of a name or a folder
_COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    **{name: files.c[name] for name in ("name", "path", "outcome", "reason", "recorded_at")},
    "confidence": results.c.confidence,
}
_TYPED = (sa.column(name, each.type) for name, each in _COLUMNS.items())
_VIEW = sa.table("current_results", sa.column("id"), sa.column("state"), *_TYPED)


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; None: anything. Days: UTC, both included. least, most: of confidence."""

    name: str | None = None
    folder: str | None = None
    outcome: str | None = None
    reason: str | None = None
    since: date | None = None
    until: date | None = None
    least: float | None = None
    most: float | None = None


def search_of(given: Mapping[str, str]) -> Search:
    """Return the search that a request asks for. Raises GdwatchError for what is none."""
    try:
        search = Search(
            name=given.get("name", "").strip()[:_LONGEST] or None,
            folder=given.get("folder", "").strip().strip("/")[:_LONGEST] or None,
            outcome=given.get("outcome") or None,
            reason=given.get("reason") or None,
            since=_day(given.get("since")),
            until=_day(given.get("until")),
            least=_confidence(given.get("least")),
            most=_confidence(given.get("most")),
        )
    except (ValueError, OverflowError) as error:
        raise GdwatchError(
            "the search is not understood", "days are 2026-11-23, confidences 0.5 to 1"
        ) from error
    if "\0" in f"{search.name}{search.folder}":
        raise GdwatchError("a name has no NUL", "leave it away")
    if search.outcome not in (None, *OUTCOMES) or search.reason not in (None, *REASONS):
        raise GdwatchError("there is no such outcome or reason", "choose one on the page")
    return search


def _day(text: str | None) -> date | None:
    day = date.fromisoformat(text) if text else None
    if day is not None and not 1970 <= day.year < 9999:
        raise ValueError(text)
    return day


def _confidence(text: str | None) -> float | None:
    number = float(text) if text else None
    if number is not None and not 0 <= number <= 1:
        raise ValueError(text)
    return number


def found_by(
    connection: Connection, root_id: int, search: Search, after: str
) -> tuple[list[Photograph], str | None]:
    """Return a page of what a search finds, and the key of its last; None if it was the last.

    It is read along the index of names or paths if one is given, else the newest comes first.
    after: the key that came with the page before; empty for the first one. Raises GdwatchError.
    """
    query = statement(root_id, search, after).limit(_PAGE)
    found = list(map(photographs.photograph_of, connection.execute(query)))
    if len(found) < _PAGE:
        return found, None
    last = found[-1]
    key = [last.name, last.id] if search.name else [last.path] if search.folder else [last.id]
    return found, json.dumps(key)


def statement(root_id: int, search: Search, after: str) -> Selected:
    """Return the statement for a page. Raises GdwatchError for a key that is none."""
    query = photographs.SELECTED.where(files.c.root_id == root_id)
    for condition in _conditions(search, _COLUMNS):
        query = query.where(condition)
    if search.folder:
        query = query.where(photographs.IS_THERE)  # as the index of paths has it
    if search.name:
        columns: tuple[sa.Column[Any], ...] = (files.c.name, files.c.id)
    else:
        columns = (files.c.path,) if search.folder else (files.c.id,)
    is_newest_first = columns == (files.c.id,)
    key = photographs.key_of(after, [column.type.python_type for column in columns])
    if key is not None:
        ours, last = sa.tuple_(*columns), sa.tuple_(*map(sa.literal, key))
        query = query.where(ours < last if is_newest_first else ours > last)
    return query.order_by(*(each.desc() if is_newest_first else each for each in columns))


def sql(connection: Connection, search: Search) -> str:
    """Return the statement over `current_results` that answers a search, to be run by hand."""
    names = ("id", "path", "outcome", "reason", "confidence")
    query = sa.select(*(_VIEW.c[name] for name in names)).order_by(_VIEW.c.id.desc())
    for condition in _conditions(search, {each.name: each for each in _VIEW.c}):
        query = query.where(condition)
    if search.folder:
        query = query.where(_VIEW.c.state != "missing")
    return str(query.compile(connection, compile_kwargs={"literal_binds": True}))


def _conditions(
    search: Search, columns: Mapping[str, sa.ColumnElement[Any]]
) -> Iterator[sa.ColumnElement[bool]]:
    """Yield the conditions. columns: by their name in the view `current_results`."""
    folder = search.folder and search.folder + "/"
    midnight = search.since and datetime.combine(search.since, time.min)
    end = search.until and datetime.combine(search.until + timedelta(days=1), time.min)
    for name, first, beyond in (
        ("name", search.name, search.name and search.name + photographs.LAST),
        ("path", folder, folder and folder + photographs.LAST),
        ("recorded_at", midnight, end),
    ):
        if first is not None:
            yield columns[name] >= first
        if beyond is not None:
            yield columns[name] < beyond
    for name, value in (("outcome", search.outcome), ("reason", search.reason)):
        if value is not None:
            yield columns[name] == value
    if search.least is not None:
        yield columns["confidence"] >= search.least
    if search.most is not None:
        yield columns["confidence"] <= search.most


def search(request: Request) -> Response:
    """The page with a form, and what was found. Raises GdwatchError."""
    return _page(request, "search.html", search_of(request.query_params))


def rejected(request: Request) -> Response:
    """The page of rejected files, the newest first. Raises GdwatchError."""
    asked = search_of({**request.query_params, "outcome": "rejected"})
    return _page(request, "rejected.html", asked)


def _page(request: Request, template: str, asked: Search) -> Response:
    site = site_of(request)
    given = dict(request.query_params)
    with site.ledger.reading() as connection:
        root_id = site.ledger.root_id
        found, last = found_by(connection, root_id, asked, given.get("after", ""))
        statement = sql(connection, asked)
    following = None if last is None else "?" + urlencode({**given, "after": last})
    return page(
        request, template, found=found, asked=asked, sql=statement, following=following,
        outcomes=OUTCOMES, reasons=REASONS,
    )  # fmt: skip
