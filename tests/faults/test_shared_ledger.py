"""Several roots share a ledger: their services file beside each other and are killed (T35)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests import build
from tests.faults.case import Case
from tests.faults.launch import Fault, Run
from tests.postgresql import driven, new_database, server

_KILLED = -9
_KILLS = (
    ("C6.record", "after"),
    ("C6.commit", "before"),
    ("C6.commit", "after"),
    ("C7.rename", "after"),
    ("C8.sync", "before"),
    ("C9.mark", "before"),
)


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


def two_roots(case: Case, url: str, *, joins: bool = True) -> tuple[Case, Case]:
    """Two roots on one ledger, which the first has made."""
    other = case.another(case.folder / "other")
    for each in (case, other):
        each.settings["database"] = url
        if url.startswith("sqlite"):
            each.shared = Path(url.removeprefix("sqlite:///"))
    case.run("run", "--once")
    if joins:
        other.run("db", "join")
    return case, other


def rows_of(case: Case) -> dict[str, Any]:
    """The rows of a root as the view shows them, by original path."""
    engine = sa.create_engine(driven(case.settings["database"]))
    query = "SELECT * FROM current_results WHERE root = :root ORDER BY id"
    with engine.connect() as connection:
        rows = connection.execute(sa.text(query), {"root": str(case.root)}).mappings().all()
    engine.dispose()
    assert len({row["original_path"] for row in rows}) == len(rows)
    return {row["original_path"]: row for row in rows}


def wait_until_filed(case: Case, service: Run) -> None:
    def is_filed() -> bool:
        rows = rows_of(case)
        assert service.status is None, service.text()
        filed = [row for row in rows.values() if row["state"] == "filed"]
        return len(filed) == len(case.dropped)

    build.wait_until(is_filed, "filed", 120)


def require_whole(cases: Sequence[Case]) -> None:
    """Every drop has one row and one file, in its own root, and there is nothing else."""
    for case in cases:
        rows = rows_of(case)
        dropped = {str(Path(drop.path.decode()).relative_to(case.root)): drop.sha256
                   for drop in case.dropped}  # fmt: skip
        assert {path: row["sha256"] for path, row in rows.items()} == dropped
        assert {row["state"] for row in rows.values()} == {"filed"}
        assert {row["path"]: row["sha256"] for row in rows.values()} == build.contents(case.root)


def beside_each_other(case: Case, other: Case, kills: Sequence[tuple[str, Any]]) -> None:
    """One service is killed at one step after the other, the other one never."""
    steady = other.start("run")
    for number, (at, when) in enumerate(kills):
        hit = case.start("run", faults=[Fault(at, when)], allowed=(_KILLED,))
        for index in range(6):
            for each in (case, other):
                # The same names in both; the roots share none of the bytes, and then all.
                each.drop(f"{number}/{index}.png", case.picture() if index else b"no picture")
        wait_until_filed(other, steady)
        assert hit.wait() == _KILLED
        case.count.kills += 1
    last = case.start("run")
    for each, service in ((case, last), (other, steady)):
        wait_until_filed(each, service)
        service.send(15)
        assert service.wait() == 0


@pytest.mark.scenario("T35", quick=2, long=50)
def test_two_services_on_one_sqlite_ledger_lose_nothing_and_mix_nothing(
    rounds: Iterator[Case],
) -> None:
    for each in rounds:
        kills = _KILLS if each.long else _KILLS[each.number % 2 :: 2]
        case, other = two_roots(each, f"sqlite:///{each.folder}/shared.db")
        with other.ending():
            beside_each_other(case, other, kills)
            require_whole((case, other))
            other.finish()
        case.finish()


def test_two_services_on_one_postgresql_ledger_lose_nothing_and_mix_nothing(
    case: Case, postgresql: str
) -> None:
    url = new_database(postgresql, "two")
    case, other = two_roots(case, url)
    with other.ending():
        beside_each_other(case, other, _KILLS)
        require_whole((case, other))
        for each in (case, other):
            for words in (("run", "--once"), ("db", "check"), ("run", "--once")):
                assert each.run(*words).status == 0
        require_whole((case, other))


@pytest.mark.parametrize("server_", ["sqlite", "postgresql"])
def test_of_two_first_starts_at_once_on_an_empty_database_one_is_refused(
    case: Case, server_: str, request: pytest.FixtureRequest
) -> None:
    other = case.another(case.folder / "other")
    url = f"sqlite:///{case.folder}/shared.db"
    if server_ == "postgresql":
        url = new_database(request.getfixturevalue("postgresql"), "empty")
    with other.ending():
        for each in (case, other):
            each.settings["database"] = url
            each.drop("a.png")
        runs = [each.start("run", "--once", allowed=(0, 78)) for each in (case, other)]
        assert sorted(run.wait() for run in runs) == [0, 78], [run.text() for run in runs]
        (refused,) = [run for run in runs if run.status == 78]
        assert "`gdwatch db join` lets this root share the ledger" in refused.text()
        for each in (case, other):
            each.run("db", "join")
        started = [each.start("run", "--once") for each in (case, other)]
        assert [run.wait() for run in started] == [0, 0], [run.text() for run in started]
        require_whole((case, other))


def test_a_command_sees_only_the_rows_of_its_own_root(case: Case) -> None:
    case, other = two_roots(case, f"sqlite:///{case.folder}/shared.db")
    content = case.picture(0.97)
    with other.ending():
        for each in (case, other):
            each.settings["duplicates"] = "reject"  # what another root has filed is no duplicate
            each.drop("a.png", content)
            each.run("run", "--once")
        mine, theirs = rows_of(case)["inbox/a.png"], rows_of(other)["inbox/a.png"]
        assert (mine["outcome"], theirs["outcome"]) == ("male", "male")

        def said(*words: str, allowed: Sequence[int] = (0,)) -> str:
            run = other.run(*words, allowed=allowed)
            assert run.status in allowed, run.text()
            return run.answer() + run.text()

        assert "no such row" in said("show", str(mine["id"]), allowed=(1,))
        assert "no such row" in said("correct", str(mine["id"]), "female", allowed=(1,))
        assert "no such row" in said("requeue", str(mine["id"]), allowed=(1,))
        assert f"{theirs['id']}" in said("show", "male/a.png")
        assert "filed     1" in said("status")
        assert f"root         {other.root}" in said("db", "check")
        case.run("correct", str(mine["id"]), "female")
        assert "no command is left to take back" in said("undo", allowed=(1,))
        # Taken away here, and brought to the other root by hand: it is no row's file there.
        (case.root / "female" / "a.png").rename(other.root / "female" / "b.png")
        assert "female/b.png" in said("db", "check", "--mark", allowed=(1,))
        said("reprocess", str(other.root))
        case.run("db", "check", "--mark", "--force", allowed=(0, 1))
        assert rows_of(case)["inbox/a.png"]["state"] == "missing"
        assert [row["root"] for row in rows_of(other).values()] == [str(other.root)] * 2


@pytest.mark.parametrize("server_", ["sqlite", "postgresql"])
def test_a_service_ends_when_the_ledger_is_upgraded_for_another_root(
    case: Case, server_: str, request: pytest.FixtureRequest
) -> None:
    case.settings["database"] = f"sqlite:///{case.folder}/shared.db"
    if server_ == "postgresql":
        case.settings["database"] = new_database(request.getfixturevalue("postgresql"), "upgraded")
    run = case.start("run", allowed=(78,))
    build.wait_until(lambda: run.events("recovery.done"))
    engine = sa.create_engine(driven(case.settings["database"]))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    assert run.wait() == 78
    assert "9999 is newer than this gdwatch" in run.text()
