"""Searching: what is found is what the shown statement finds, page by page."""

from datetime import date
from typing import Any

import pytest

from gdwatch.errors import GdwatchError
from gdwatch.ui import search
from gdwatch.ui.search import Search
from tests import build
from tests.gdwatch.conftest import World


@pytest.fixture
def filed(world: World) -> World:
    for number in range(30):
        name = f"{'trip' if number % 2 else 'home'}/IMG'{number % 3}-{number}.jpg"
        outcome: Any = ("female", "male", "unsure", "rejected")[number % 4]
        world.record_file(name, b"%d" % number, outcome)
    world.file()
    return world


SEARCHES = [
    Search(),
    Search(name="IMG'"),
    Search(name="IMG'1"),
    Search(name="' OR 1=1 --"),
    Search(folder="male/trip"),
    Search(folder="male"),
    Search(outcome="unsure", least=0.5, most=0.9),
    Search(reason="truncated"),
    Search(since=date(2026, 1, 1), until=date(2999, 1, 1)),
    Search(until=date(2020, 1, 1)),
    Search(least=0.99),
]


@pytest.mark.parametrize("asked", SEARCHES, ids=str)
def test_the_page_finds_what_the_shown_statement_finds(
    filed: World, asked: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_PAGE", 4)
    found: list[int] = []
    after: str | None = ""
    with filed.ledger.reading() as connection:
        shown = search.sql(connection, asked)
        while after is not None:
            page, after = search.found_by(connection, filed.ledger.root_id, asked, after)
            found += [each.id for each in page]
    assert sorted(found) == sorted(row["id"] for row in build.query(filed.root, shown))
    assert len(found) == len(set(found))


def test_a_name_and_a_folder_are_looked_up_in_their_index(filed: World) -> None:
    for asked, index in ((Search(name="IMG"), "files_name"), (Search(folder="male"), "files_path")):
        statement = search.statement(1, asked, "").limit(9)
        written = statement.compile(filed.ledger.engine, compile_kwargs={"literal_binds": True})
        with filed.ledger.reading() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}").all()
        assert index in plan[0][3]
        assert not any("ORDER BY" in row[3] for row in plan)


@pytest.mark.parametrize(
    "given",
    [{"since": "yesterday"}, {"since": "0001-01-01"}, {"least": "nan"}, {"most": "2"},
     {"outcome": "inbox"}, {"reason": "x"}, {"name": "a\0"}],
)  # fmt: skip
def test_a_search_that_is_none_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(GdwatchError):
        search.search_of(given)
