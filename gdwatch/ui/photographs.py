"""What the page shows of photographs: pages of the ledger, each read through an index.

Pages follow a key, not an offset: the hundredth page costs what the first one does. SQLite takes a
partial index only where its condition stands in the statement, so `state = 'filed'` is literal.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy import Connection

from gdwatch.errors import GdwatchError
from gdwatch.ledger.tables import corrections, files, models, results
from gdwatch.values import OUTCOMES, REASONS, Outcome, RejectedReason, UnsureReason

Order = Literal["confidence", "reason", "folder", "newest", "disagreement", "teach"]
ORDERS: tuple[Order, ...] = get_args(Order)
IS_FILED = sa.text("files.state = 'filed'")
IS_THERE = sa.text("files.state <> 'missing'")
LAST = "\U0010ffff"  # sorts after every character of a name
_UNKNOWN = 2.0  # in a key, for a photograph without a confidence: it comes after all that have one
Key = tuple[Any, ...]
Selected = sa.Select[Any]

_COLUMNS = (
    files.c.id, files.c.name, files.c.path, files.c.state, files.c.outcome, files.c.reason,
    files.c.recorded_at, files.c.result_id, results.c.label, results.c.confidence, results.c.faces,
    results.c.box_x, results.c.box_y, results.c.box_w, results.c.box_h,
    results.c.width, results.c.height,
    (models.c.name + " " + models.c.version).label("model"),
)  # fmt: skip
_LAST_WORD = (
    sa.select(corrections.c.id)
    .where(corrections.c.file_id == files.c.id)
    .order_by(corrections.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
LABEL = (
    sa.select(corrections.c.label)
    .where(corrections.c.file_id == files.c.id)
    .order_by(corrections.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
SELECTED: Selected = (
    sa.select(*_COLUMNS, LABEL.label("corrected"), _LAST_WORD.label("last_word"))
    .select_from(files)
    .outerjoin(results, results.c.id == files.c.result_id)
    .join(models, models.c.id == files.c.model_id)
)
_REASONS: dict[Outcome, tuple[str | None, ...]] = {
    "female": (None,),
    "male": (None,),
    "unsure": get_args(UnsureReason),
    "rejected": (*get_args(RejectedReason), "by_hand"),
}


class NoSuchPhotograph(GdwatchError):  # noqa: N818 - what was asked for, not a failure
    """This root's ledger has no photograph with that id."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph as the page shows it. Texts: as the ledger has them, with names escaped.

    box: x, y, width and height of the face in pixels of the upright picture.
    size: width and height of the upright picture, in pixels.
    corrected: the verdict that stands. seen: changes when a decision or a verdict is added.
    """

    id: int
    name: str
    path: str
    state: str
    outcome: Outcome
    reason: str | None
    label: str | None
    confidence: float | None
    faces: int | None
    box: tuple[float, float, float, float] | None
    size: tuple[int, int] | None
    model: str
    recorded_at: datetime
    corrected: str | None
    seen: str


@dataclass(frozen=True, slots=True)
class Queue:
    """Photographs that wait for a person's verdict. reason: None for every reason.

    below: how the path of each begins, as the ledger has it; the order `folder` needs it.
    listed: the ids that `gdtrain choose` has listed, in their order; the order `teach` needs it.
    """

    outcome: Outcome = "unsure"
    order: Order = "confidence"
    reason: str | None = None
    below: str = ""
    listed: tuple[int, ...] = ()

    @property
    def reasons(self) -> tuple[str | None, ...]:
        """The reasons that its photographs can have; of female and male ones, None alone."""
        return _REASONS[self.outcome] if self.reason is None else (self.reason,)


def queue_of(given: Mapping[str, str]) -> Queue:
    """Return the queue that a request asks for. Raises GdwatchError for what is none."""
    outcome, order = given.get("outcome", "unsure"), given.get("order", "confidence")
    reason = given.get("reason") or None
    if outcome not in OUTCOMES or order not in ORDERS or reason not in (None, *REASONS):
        raise GdwatchError("there is no such queue", "choose one on the page")
    return Queue(outcome, order, reason)


def key_of(text: str, kinds: Sequence[type]) -> Key | None:
    """Return the key that a page has ended with, from its JSON; None for no text.

    kinds: the types of its values.

    Raises GdwatchError for what is no such key.
    """
    if not text:
        return None
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, list) or [type(each) for each in key] != list(kinds):
        raise GdwatchError("there is no such page", "begin at the first one")
    if any(isinstance(each, int) and abs(each) >= 1 << 63 for each in key) or r"\u0000" in text:
        raise GdwatchError("there is no such page", "begin at the first one")
    return tuple(key)


KINDS: Mapping[Order, Sequence[type]] = {
    "confidence": (float, int),
    "reason": (int, int),
    "folder": (str,),
    "newest": (int,),
    "disagreement": (int,),
    "teach": (int,),
}


def one(connection: Connection, root_id: int, file_id: int) -> Photograph:
    """Return the photograph with this id. Raises NoSuchPhotograph if this root has none."""
    (found,) = those(connection, root_id, [file_id])
    return found


def those(connection: Connection, root_id: int, ids: Sequence[int]) -> list[Photograph]:
    """Return the photographs with these ids, by id. Raises NoSuchPhotograph if this root lacks one.

    ids: few enough for one statement.
    """
    query = SELECTED.where(files.c.id.in_(ids), files.c.root_id == root_id).order_by(files.c.id)
    found = list(map(photograph_of, connection.execute(query)))
    if len(found) != len(set(ids)):
        missing = set(ids) - {each.id for each in found}
        raise NoSuchPhotograph(f"id {min(missing)}: no such photograph")
    return found


def page(
    connection: Connection, root_id: int, queue: Queue, after: Key | None, most: int
) -> tuple[list[Photograph], Key | None]:
    """Return the next photographs of a queue, and the key of the last; None if it was the last.

    after: the key that came with the page before; None for the first one.
    """
    streams = [
        connection.execute(statement.limit(most)).all()
        for statement in statements(root_id, queue, after)
    ]
    chosen = list(islice(heapq.merge(*streams, key=partial(_key, queue)), most))
    found = [photograph_of(row) for row in chosen]
    return found, _key(queue, chosen[-1]) if len(chosen) == most else None


def newest(connection: Connection, root_id: int, most: int) -> list[Photograph]:
    """Return the newest photographs, whatever their outcome."""
    query = SELECTED.where(files.c.root_id == root_id).order_by(files.c.id.desc()).limit(most)
    return list(map(photograph_of, connection.execute(query)))


def statements(root_id: int, queue: Queue, after: Key | None) -> Iterator[Selected]:
    """Yield the statements whose rows, merged, are a queue; each reads along one index."""
    match queue.order:
        case "folder":
            yield _by_folder(root_id, queue, after)
        case "disagreement":
            raise ValueError("`disagreement` reads these")
        case "newest":
            yield from (_by_id(root_id, queue, reason, after) for reason in queue.reasons)
        case "teach":
            yield _by_list(root_id, queue, after)
        case "reason":
            yield from _by_reason(root_id, queue, after)
        case "confidence":
            for reason in queue.reasons:
                yield from _by_confidence(root_id, queue, reason, after)


def _key(queue: Queue, row: sa.Row[Any]) -> Key:
    match queue.order:
        case "folder":
            return (row.path,)
        case "newest" | "disagreement":
            return (-row.id,)
        case "teach":
            return (queue.listed.index(row.id),)
        case "reason":
            return (queue.reasons.index(row.reason), row.id)
        case "confidence":
            return (_UNKNOWN if row.confidence is None else row.confidence, row.result_id)


def _waiting(root_id: int, queue: Queue) -> Selected:
    return SELECTED.where(
        files.c.root_id == root_id,
        files.c.outcome == queue.outcome,
        IS_FILED,
        LABEL.is_(None),
    )


def _by_folder(root_id: int, queue: Queue, after: Key | None) -> Selected:
    # As in `_by_confidence`: along the index of paths, from this folder's first to its last.
    query = SELECTED.where(
        files.c.root_id == root_id,
        files.c.outcome.concat("") == queue.outcome,
        IS_FILED,
        IS_THERE,
        LABEL.is_(None),
        files.c.path > (queue.below if after is None else after[0]),
        files.c.path < queue.below + LAST,
    )
    if queue.reason is not None:
        query = query.where(files.c.reason == queue.reason)
    return query.order_by(files.c.path)


def _by_id(root_id: int, queue: Queue, reason: str | None, after: Key | None) -> Selected:
    query = _waiting(root_id, queue).where(
        files.c.reason.is_(reason) if reason is None else files.c.reason == reason
    )
    if after is not None:
        query = query.where(files.c.id < -after[0])
    return query.order_by(files.c.id.desc())


def _by_list(root_id: int, queue: Queue, after: Key | None) -> Selected:
    listed = queue.listed if after is None else queue.listed[max(0, after[0] + 1) :]
    # As in `_by_confidence`: so that SQLite looks the listed ones up, and reads no others.
    query = SELECTED.where(
        files.c.root_id + 0 == root_id,
        files.c.outcome.concat("") == queue.outcome,
        IS_FILED,
        LABEL.is_(None),
        files.c.id.in_(listed),
    )
    if queue.reason is not None:
        query = query.where(files.c.reason.concat("") == queue.reason)
    ranks = {each: rank for rank, each in enumerate(listed)}
    return query.order_by(sa.case(ranks, value=files.c.id)) if ranks else query


def _by_reason(root_id: int, queue: Queue, after: Key | None) -> Iterator[Selected]:
    for number, reason in enumerate(queue.reasons):
        if after is not None and number < after[0]:
            continue
        query = _waiting(root_id, queue).where(files.c.reason == reason)
        if after is not None and number == after[0]:
            query = query.where(files.c.id > after[1])
        yield query.order_by(files.c.id)


def _by_confidence(
    root_id: int, queue: Queue, reason: str | None, after: Key | None
) -> Iterator[Selected]:
    """Yield the statement for photographs with a confidence, and that for those without one."""
    # Written so that no index of `files` fits: SQLite would read one, and sort all that it finds.
    query = SELECTED.where(
        files.c.root_id + 0 == root_id,
        files.c.outcome.concat("") == queue.outcome,
        IS_FILED,
        LABEL.is_(None),
        results.c.outcome == queue.outcome,
        results.c.reason == reason,
    )
    if after is None or after[0] < _UNKNOWN:
        known = query.where(results.c.confidence >= (after[0] if after else 0.0))
        if after is not None:
            here = sa.tuple_(results.c.confidence, results.c.id)
            known = known.where(here > sa.tuple_(*(sa.literal(each) for each in after)))
        yield known.order_by(results.c.confidence, results.c.id)
    unknown = query.where(results.c.confidence.is_(None))
    if after is not None and after[0] >= _UNKNOWN:
        unknown = unknown.where(results.c.id > after[1])
    yield unknown.order_by(results.c.id)


def photograph_of(row: sa.Row[Any]) -> Photograph:
    """Convert a row of `SELECTED`."""
    has_box = row.box_x is not None
    return Photograph(
        id=row.id,
        name=row.name,
        path=row.path,
        state=row.state,
        outcome=row.outcome,
        reason=row.reason,
        label=row.label,
        confidence=row.confidence,
        faces=row.faces,
        box=(row.box_x, row.box_y, row.box_w, row.box_h) if has_box else None,
        size=(row.width, row.height) if row.width else None,
        model=row.model,
        recorded_at=row.recorded_at,
        corrected=row.corrected,
        seen=f"{row.result_id or 0}-{row.last_word or 0}",
    )
