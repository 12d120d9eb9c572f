"""The page on a ledger in PostgreSQL: its queues, searches, counts and verdicts."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from gdwatch.ui.photographs import ORDERS
from gdwatch.values import OUTCOMES
from tests import build
from tests.gdwatch.conftest import world_at
from tests.gdwatch.ui.conftest import Page, page_of, set_threshold, ui_settings
from tests.postgresql import server

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def page(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with ExitStack() as stack:
        url = stack.enter_context(server(tmp_path_factory.mktemp("postgresql")))
        world = stack.enter_context(world_at(root, database=url))
        (root / ".gdwatch" / "root-id").write_text("a-root\n")
        for number, outcome in enumerate(("unsure", "unsure", "male", "rejected")):
            world.record_file(f"{number}.png", build.photograph(number), outcome)
        world.file()
        set_threshold(world, 0.9)
        yield Page(world, stack.enter_context(page_of(ui_settings(root, database=url))))


def test_the_whole_page_works_on_postgresql(page: Page) -> None:
    browser = page.browser
    browser.load()
    for order in ORDERS:
        for outcome in OUTCOMES:
            found = browser.next(f"order={order}&outcome={outcome}")["photographs"]
            is_empty = order in ("disagreement", "teach")  # one model, and nothing listed
            wanted = 0 if is_empty else {"unsure": 2, "female": 0}.get(outcome, 1)
            assert len(found) == wanted, (order, outcome)
    first, second = browser.next()["photographs"]
    assert browser.say(first, "male").status == 200
    said = browser.post("/verdicts", {"verdict": "female", "seen": {second["id"]: second["seen"]}})
    assert said.json["ids"] == [second["id"]]

    def both_are_filed() -> bool:
        with page.world.ledger.reading() as connection:
            states = connection.execute(sa.text("SELECT path, state FROM files ORDER BY id")).all()
        return states[:2] == [("male/0.png", "filed"), ("female/1.png", "filed")]

    build.wait_until(both_are_filed, "both filed")
    assert browser.post(f"/undo/{said.json['command']}").status == 200
    text = build.wait_until(
        lambda: "Thirty days" in (text := browser.get("/").text) and text, "the counts"
    )
    assert "data-steps" in text
    for path in (
        "/rejected",
        "/search?name=1&least=0.5&since=2020-01-01",
        "/search?folder=male&outcome=male",
        "/photographs/1",
        "/review/many",
        "/pictures/1/small",
    ):
        assert browser.get(path).status == 200, path
