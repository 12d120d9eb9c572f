"""Queues: every photograph comes once, in its order, page by page."""

from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdwatch.ui import photographs
from gdwatch.ui.photographs import ORDERS, Order, Queue
from gdwatch.values import OUTCOMES
from tests import build
from tests.gdwatch.conftest import World


def read(world: World, queue: Queue, most: int) -> list[photographs.Photograph]:
    """All photographs of a queue, page by page."""
    found: list[photographs.Photograph] = []
    after = None
    with world.ledger.reading() as connection:
        while True:
            page, after = photographs.page(connection, world.ledger.root_id, queue, after, most)
            found += page
            if after is None:
                return found


def change(world: World, statement: str, *values: Any) -> None:
    with world.ledger.writing() as transaction:
        transaction.connection.exec_driver_sql(statement, values)


@pytest.fixture
def unsure(world: World) -> World:
    for name in "abcdefghij":
        world.record_file(f"{name}.png", build.photograph(ord(name)), "unsure")
    world.file()
    return world


SORTED: list[Order] = [order for order in ORDERS if order != "disagreement"]
LISTED = (3, 99, 1, 2, 10, 9, 4, 5, 8, 6, 7)  # 99 is another root's, or was pruned
REASONS = st.sampled_from(["low_confidence", "no_face", "changed_late"])
CONFIDENCES = st.sampled_from([0.5, 0.6, 0.6000001, 0.9, 1.0])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(REASONS, CONFIDENCES), min_size=10, max_size=10), st.integers(1, 11))
def test_every_photograph_comes_once_whatever_the_order_and_the_page(
    unsure: World, decided: list[tuple[str, float]], most: int
) -> None:
    for number, (reason, confidence) in enumerate(decided, 1):
        is_late = reason == "changed_late"
        label, p = (None, None) if is_late else ("male", confidence)
        change(unsure, "UPDATE files SET reason = ? WHERE id = ?", reason, number)
        new = "UPDATE results SET reason = ?, label = ?, confidence = ?, p_male = ?"
        change(unsure, f"{new} WHERE file_id = ?", reason, label, p, p, number)
    for order in SORTED:
        found = read(unsure, Queue("unsure", order, None, "unsure/", LISTED), most)
        assert sorted(each.id for each in found) == list(range(1, 11)), order
        assert found == sorted(found, key=lambda each: by(order, each)), order
        for reason in ("low_confidence", "no_face"):
            chosen = read(unsure, Queue("unsure", order, reason, "unsure/", LISTED), most)
            assert chosen == [each for each in found if each.reason == reason]


def by(order: Order, photograph: photographs.Photograph) -> Any:
    reasons = (
        "low_confidence",
        "no_face",
        "several_faces",
        "small_face",
        "blurred",
        "changed_late",
    )
    match order:
        case "confidence":
            return 2.0 if photograph.confidence is None else photograph.confidence
        case "reason":
            return reasons.index(photograph.reason or "")
        case "folder":
            return photograph.path
        case "newest" | "disagreement":
            return -photograph.id
        case "teach":
            return LISTED.index(photograph.id)


def test_a_photograph_of_another_root_is_not_there(unsure: World) -> None:
    change(unsure, "INSERT INTO roots (id, uuid, first_used_at) VALUES (9, 'x', '2026-01-01')")
    change(unsure, "UPDATE files SET root_id = 9 WHERE id = 1")
    with (
        unsure.ledger.reading() as connection,
        pytest.raises(photographs.NoSuchPhotograph, match="id 1: no such photograph"),
    ):
        photographs.one(connection, unsure.ledger.root_id, 1)
    assert 1 not in [each.id for each in read(unsure, Queue(), 3)]


def plan(world: World, statement: Any) -> str:
    """What SQLite does for a statement: the tables that it reads, and along which index."""
    compiled = statement.compile(world.ledger.engine, compile_kwargs={"literal_binds": True})
    with world.ledger.reading() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
    return "\n".join(str(row[3]) for row in rows)


INDEXES: dict[Order, tuple[str, ...]] = {
    "confidence": ("results_review",),
    "reason": ("files_review", "files_outcome"),  # SQLite ends each index with the id
    "newest": ("files_review", "files_outcome"),
    "folder": ("files_path",),
    "teach": ("INTEGER PRIMARY KEY",),
}
KEYS = {"confidence": (0.7, 3), "reason": (0, 3), "newest": (-8,), "folder": ("unsure/c",),
        "teach": (2,)}  # fmt: skip


def test_every_queue_is_read_along_an_index_without_sorting(unsure: World) -> None:
    for order, outcome, after in product(SORTED, OUTCOMES, (None, KEYS)):
        queue = Queue(outcome, order, None, f"{outcome}/", LISTED)
        for statement in photographs.statements(1, queue, after and after[order]):
            seen = plan(unsure, statement.limit(12))
            assert any(index in seen.partition("\n")[0] for index in INDEXES[order]), seen
            assert "ORDER BY" not in seen or order == "teach", seen  # it sorts a short list
            assert "SCAN" not in seen, seen


def test_without_a_list_nothing_waits_in_its_order(unsure: World) -> None:
    assert read(unsure, Queue(order="teach"), 3) == []
