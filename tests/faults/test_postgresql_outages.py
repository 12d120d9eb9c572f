"""PostgreSQL restarted, cut off in the middle of a commit, lost with its last second."""

import os
import socket
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from gdwatch.errors import Trouble
from gdwatch.ledger import connection
from tests import build
from tests.faults.case import Case
from tests.faults.cut_connection import When, way
from tests.faults.surroundings import ready, stop, wait_for
from tests.faults.test_shared_ledger import require_whole, rows_of, wait_until_filed
from tests.postgresql import Server, driven, new_database, server_in


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = server_in(tmp_path_factory.mktemp("postgresql"))
    made.make()
    made.start()
    yield made
    made.stop()


def drop_some(case: Case, folder: str) -> None:
    for index in range(6):
        case.drop(f"{folder}/{index}.png", case.picture() if index else b"no picture %d" % index)


@pytest.mark.parametrize(
    "at", ["host=/nowhere&host=/nowhere/else", "host=127.0.0.1:1", "host=nowhere.invalid"]
)
def test_a_server_that_is_not_there_is_one_line(case: Case, at: str) -> None:
    pytest.importorskip("psycopg")
    case.settings["database"] = f"postgresql://gdwatch@/ledger?{at}"
    asked = case.run("db", "current", allowed=(1,))
    (line,) = asked.lines()
    assert line.startswith("gdwatch: database postgresql")
    assert line.endswith("; look after its server")


def test_a_server_that_never_answers_is_given_up() -> None:
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"postgresql://gdwatch@127.0.0.1:{silent.getsockname()[1]}/ledger"
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(connection._PATIENCE, "connect_timeout", "2")  # libpq takes no less
            engine = connection.connect(sa.make_url(at), writable=True)
        with pytest.raises(Trouble) as error, connection.translated(engine):
            engine.connect()
    assert error.value.reason == "database_gone"


def test_a_server_that_is_restarted_is_waited_for(case: Case, postgresql: Server) -> None:
    case.settings["database"] = new_database(postgresql.url, "restarted")
    run = ready(case)
    drop_some(case, "before")
    wait_until_filed(case, run)
    for time in range(2):
        postgresql.stop()  # at once, in the middle of whatever it does
        drop_some(case, f"down-{time}")
        paused = wait_for(run, "service.paused", time + 1)[-1]
        assert paused["reason"] == "database_gone"
        assert paused["hint"] == "look after its server"
        postgresql.start()
        wait_until_filed(case, run)
        case.count.faults += 1
    stop(run)
    require_whole([case])


@pytest.mark.parametrize("when", ["unheard", "unanswered", "late"])
@pytest.mark.parametrize("step", ["record", "mark"])
def test_a_commit_that_was_cut_off_is_looked_for_and_never_guessed(
    case: Case, postgresql: Server, when: When, step: str
) -> None:
    url = new_database(postgresql.url, f"cut_{when}_{step}")
    case.settings["database"] = url
    with way(case.folder / "way", postgresql.home) as to:
        case.settings["database"] = url.replace(str(postgresql.home), str(to.home))
        run = ready(case)
        case.drop("before.png")
        wait_until_filed(case, run)
        # The first commit after a drop records it, the second one marks it filed.
        to.cut(when, after=0 if step == "record" else 1)
        drop_some(case, "cut")
        build.wait_until(lambda: to.cuts)
        wait_until_filed(case, run)
        # What was committed may be seen before the service knows that it is cut off.
        assert [each["reason"] for each in wait_for(run, "service.paused")] == ["database_gone"]
        wait_for(run, "service.resumed")
        stop(run)
        case.count.faults += 1
    case.settings["database"] = url
    require_whole([case])
    engine = sa.create_engine(driven(url))
    with engine.connect() as asked:
        for table in ("results", "moves"):
            count = asked.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()
            assert count == len(case.dropped), table
    engine.dispose()
    assert case.run("db", "check").status == 0


def ask(server: Server, query: str) -> str:
    engine = sa.create_engine(driven(server.url), isolation_level="AUTOCOMMIT")
    with engine.connect() as asked:
        result = asked.execute(sa.text(query))
        answer = str(result.scalar()) if result.returns_rows else ""
    engine.dispose()
    return answer


def leave_behind(standby: Server, of: Server) -> None:
    """Let a standby have all that the other has now, and nothing of what comes."""
    position = ask(of, "SELECT pg_current_wal_flush_lsn()")
    reached = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
    build.wait_until(lambda: ask(standby, reached) == "True")
    ask(standby, "ALTER SYSTEM SET primary_conninfo = ''")
    ask(standby, "SELECT pg_reload_conf()")
    receivers = "SELECT count(*) FROM pg_stat_wal_receiver"
    build.wait_until(lambda: ask(standby, receivers) == "0")


def test_a_failover_that_loses_the_last_second_loses_no_file(
    case: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = (server_in(tmp_path_factory.mktemp(name)) for name in ("first", "second"))
    first.make()
    first.start()
    second.make_standby_of(first)
    second.start()
    running = [first, second]
    try:
        case.settings["database"] = (
            f"postgresql://postgres@/postgres?host={first.home}&host={second.home}"
            "&target_session_attrs=read-write"
        )
        run = ready(case)
        drop_some(case, "kept")
        wait_until_filed(case, run)
        leave_behind(second, first)
        drop_some(case, "lost")
        wait_until_filed(case, run)
        at_first = rows_of(case)
        first.stop()
        running.remove(first)
        second.promote()
        drop_some(case, "after")
        kept = {path for path in at_first if "lost" not in path}
        build.wait_until(lambda: len(rows_of(case)) == len(kept) + 6, "filed after", 60)
        build.wait_until(lambda: not os.listdir(case.inbox / "after"))
        stop(run)
        # No file is gone, overwritten or filed twice; some have no row, and are named.
        files = build.contents(case.root)
        assert sorted(files.values()) == sorted(drop.sha256 for drop in case.dropped)
        unknown = sorted(row["path"] for path, row in at_first.items() if "lost" in path)
        checked = case.run("db", "check", allowed=(1,))
        assert all(path in checked.answer() for path in unknown)
        # Judged again, they have rows, and all is as it should be.
        assert case.run("reprocess", case.root).status == 0
        assert {row["path"]: row["sha256"] for row in rows_of(case).values()} == files
        assert case.run("db", "check").status == 0
        case.count.faults += 1
    finally:
        for each in running:
            each.stop()
