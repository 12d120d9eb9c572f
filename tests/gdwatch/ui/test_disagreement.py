"""The queue of photographs about which models disagree."""

import pytest

from gdwatch.ui import disagreement
from gdwatch.ui.photographs import Queue
from tests import build
from tests.gdwatch.conftest import World
from tests.gdwatch.ui.test_photographs import change, plan


@pytest.fixture
def unsure(world: World) -> World:
    for name in "abcdefghij":
        world.record_file(f"{name}.png", build.photograph(ord(name)), "unsure")
    world.file()
    return world


def read(world: World, queue: Queue, most: int) -> list[int]:
    """The ids of a queue, page by page."""
    found: list[int] = []
    after = None
    with world.ledger.reading() as connection:
        while True:
            page, after = disagreement.page(connection, world.ledger.root_id, queue, after, most)
            found += [each.id for each in page]
            if after is None:
                return found


def test_every_disagreement_is_found_once(unsure: World, monkeypatch: pytest.MonkeyPatch) -> None:
    change(
        unsure,
        """INSERT INTO models (id, sha256, name, version, first_used_at, details)
                      VALUES (9, 'x', 'other', '1', '2026-01-01', '{}')""",
    )
    copy = """INSERT INTO results (file_id, model_id, rules, outcome, reason, label, p_male,
              confidence, decided_at) VALUES (?, 9, '', 'unsure', 'low_confidence', ?, ?, 0.6,
              '2026-01-01')"""
    for file_id, label in ((2, "female"), (3, "male"), (7, "female"), (8, "female")):
        change(unsure, copy, file_id, label, 0.4 if label == "female" else 0.6)
    with unsure.ledger.writing() as transaction:
        transaction.correct([8], "male", "ada")
    monkeypatch.setattr(disagreement, "_WINDOW", 2)
    for most in (1, 3):
        assert read(unsure, Queue("unsure", "disagreement"), most) == [7, 2]
    assert read(unsure, Queue("unsure", "disagreement", "no_face"), 3) == []
    assert read(unsure, Queue("male", "disagreement"), 3) == []


def test_a_page_looks_at_no_more_files_than_its_window(unsure: World) -> None:
    seen = plan(unsure, disagreement.statement(1, Queue("male"), 9).limit(12))
    assert "files USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in seen, seen
    assert "ORDER BY" not in seen, seen
    assert "SCAN" not in seen, seen
