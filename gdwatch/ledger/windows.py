"""Counts what a span of time has brought: what `gdwatch drift` compares."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gdwatch.ledger.tables import corrections, files, models, results

FEWEST = 100  # photographs of a span: of fewer, a share says little
CROWD = 3  # faces from which a photograph counts among those with as many or more
_STEPS = 1000  # of the confidence, which is rounded


@dataclass(frozen=True, slots=True)
class Window:
    """Photographs whose first decision was recorded in a span of time, by their current result.

    photographs: how many a model has judged. unsure: how many of them it would rather not say.
    confidences: (confidence, photographs), rounded to thousandths, in order.
    faces: photographs with 0, 1, … and `CROWD` or more faces; those judged whole are in none.
    verdicts: people's words of that time on photographs of any time, each file's last one;
        against: how many of them are not what the model says.
    models: names and versions, in order.
    """

    photographs: int
    unsure: int
    confidences: tuple[tuple[float, int], ...]
    faces: tuple[int, ...]
    verdicts: int
    against: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """The last span of time, and the one before it."""

    before: Window
    lately: Window

    @property
    def suffice(self) -> bool:
        """Whether both have enough photographs to be compared."""
        return min(self.before.photographs, self.lately.photographs) >= FEWEST


def last(
    connection: Connection, root_id: int, moment: datetime, spans: tuple[timedelta, timedelta]
) -> Windows:
    """Count both spans. moment: their end, UTC without a zone. spans: the one before, the last."""
    middle = moment - spans[1]
    return Windows(
        count(connection, root_id, middle - spans[0], middle),
        count(connection, root_id, middle, moment),
    )


def count(connection: Connection, root_id: int, begin: datetime, end: datetime) -> Window:
    """Count a span of time. begin, end: UTC without a zone; the end is not in it."""
    here = (files.c.root_id == root_id) & results.c.label.is_not(None)
    lately = here & (files.c.recorded_at >= begin) & (files.c.recorded_at < end)
    judged = sa.join(files, results, results.c.id == files.c.result_id)
    step = sa.func.round(results.c.confidence * _STEPS).label("step")
    confidences = _counts(connection, step, judged, lately)
    crowd = sa.case((results.c.faces < CROWD, results.c.faces), else_=CROWD)
    faces = _counts(connection, crowd, judged, lately & results.c.faces.is_not(None))
    outcomes = _counts(connection, results.c.outcome, judged, lately)
    name = models.c.name + " " + models.c.version
    named = _counts(connection, name, judged.join(models, models.c.id == results.c.model_id),
                    lately)  # fmt: skip
    verdicts, against = _verdicts(connection, here, begin, end)
    return Window(
        photographs=sum(outcomes.values()),
        unsure=outcomes.get("unsure", 0),
        confidences=tuple((int(at) / _STEPS, n) for at, n in sorted(confidences.items())),
        faces=tuple(faces.get(number, 0) for number in range(CROWD + 1)),
        verdicts=verdicts,
        against=against,
        models=tuple(sorted(named)),
    )


def _counts(
    connection: Connection,
    of: sa.ColumnElement[Any],
    judged: sa.FromClause,
    which: sa.ColumnElement[bool],
) -> dict[Any, int]:
    query = sa.select(of, sa.func.count()).select_from(judged).where(which).group_by(of)
    return {value: number for value, number in connection.execute(query)}


def _verdicts(
    connection: Connection, here: sa.ColumnElement[bool], begin: datetime, end: datetime
) -> tuple[int, int]:
    last = (
        sa.select(sa.func.max(corrections.c.id).label("id"))
        .where(corrections.c.at >= begin, corrections.c.at < end)
        .group_by(corrections.c.file_id)
        .subquery()
    )
    is_against = sa.case((corrections.c.label != results.c.label, 1), else_=0)
    query = (
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(is_against), 0))
        .select_from(corrections)
        .join(last, last.c.id == corrections.c.id)
        .join(files, files.c.id == corrections.c.file_id)
        .join(results, results.c.id == files.c.result_id)
        .where(here, corrections.c.label.is_not(None))
    )
    verdicts, against = connection.execute(query).one()
    return int(verdicts), int(against)
