"""The ledger locked (T20), damaged (T21), of another version or program (T22), gone (T23)."""

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import oracle
from tests.faults.case import Case, enough
from tests.faults.launch import Fault, call
from tests.faults.surroundings import heals, pauses, ready, refused, stop

PAGE = 4096
IMPATIENT = [call("tests.faults.acts:be_impatient")]


def ledger(case: Case) -> Path:
    return case.root / "results.db"


# ------------------------------------------------------------------------- locked


@contextlib.contextmanager
def locked(case: Case, how: str = "IMMEDIATE") -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(ledger(case), isolation_level=None)) as connection:
        connection.execute(f"BEGIN {how}")
        yield
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def systemd(case: Case) -> Iterator[socket.socket]:
    """What hears the notifications of a run that has its address in the environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(case.folder / "notify"))
        channel.settimeout(60)  # the service speaks four times in the two minutes
        yield channel


@pytest.mark.scenario("T20", quick=1, long=10)
def test_a_locked_ledger_pauses_and_the_watchdog_is_fed_meanwhile(rounds: list[Case]) -> None:
    for case in rounds:
        with systemd(case) as channel:
            heard = {"NOTIFY_SOCKET": str(case.folder / "notify"), "WATCHDOG_USEC": "120000000"}
            run = ready(case, environment=heard, before=IMPATIENT)
            with locked(case):
                case.drop_mixture(20)
                told = pauses(case, run, "database_busy")
                assert told["reason"] == "database_busy"
                end = time.monotonic() + (120 if case.long else 0)
                while True:
                    while channel.recv(100) != b"WATCHDOG=1":
                        pass
                    if time.monotonic() > end:
                        break
                assert len(os.listdir(case.inbox)) > 0
                assert not case.rows()
            heals(case, run)
        case.judge()


def test_a_ledger_that_is_locked_at_the_start_is_waited_for(case: Case) -> None:
    case.run("run", "--once")
    case.drop_mixture(8)
    with locked(case, "EXCLUSIVE"):
        run = case.start("run", before=IMPATIENT)
        pauses(case, run, "database_busy")
    heals(case, run)
    case.judge()


def test_a_signal_ends_the_wait_for_a_locked_ledger(case: Case) -> None:
    case.run("run", "--once")
    case.drop("a.png")
    with locked(case):
        run = case.start("run", before=IMPATIENT)
        pauses(case, run, "database_busy")
        stop(run)
    case.finish()


# ------------------------------------------------------------------------- damaged


def damage(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(bytes(PAGE))


def is_sound(path: Path, aside: Path) -> bool:
    """What SQLite itself says of a copy."""
    shutil.copyfile(path, aside)
    try:
        with contextlib.closing(sqlite3.connect(aside)) as connection:
            return connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        return False


@pytest.mark.scenario("T21", quick=3, long=70)
def test_a_damaged_ledger_stops_the_start_and_is_not_touched(rounds: list[Case]) -> None:
    for case in rounds:
        case.drop_mixture(20)
        case.run("run", "--once")
        good = ledger(case).read_bytes()
        pages = list(range(len(good) // PAGE))
        damage(ledger(case), case.pick(pages))
        case.drop("later.png")
        if is_sound(ledger(case), case.folder / "copy.db"):  # that page held nothing
            ledger(case).write_bytes(good)
        else:
            damaged, before = ledger(case).read_bytes(), case.look()
            run = case.start("run", allowed=(78,))
            assert run.wait() == 78, run.text()
            (line,) = run.lines()
            assert "is corrupt" in line
            assert "put a snapshot in its place" in line
            assert ledger(case).read_bytes() == damaged
            assert case.look() == before
            assert sorted(os.listdir(case.root / ".gdwatch")) == ["lock", "root-id", "status.json"]
            case.count.faults += 1
            ledger(case).write_bytes(good)
        case.finish()


@pytest.mark.scenario("T21", quick=1, long=30)
def test_a_cut_log_opens_at_its_last_whole_commit_and_check_names_the_rest(
    rounds: list[Case],
) -> None:
    for case in rounds:
        nth = case.pick([2, 3, 4, 5])
        case.drop_mixture(enough(nth, 3))
        case.run("run", "--once", batch_size=3, allowed=(-9,),
                 faults=[Fault("C9.filed", "after", nth)])  # fmt: skip
        log = ledger(case).with_name("results.db-wal")
        os.truncate(log, case.dice.randrange(log.stat().st_size))
        case.count.faults += 1
        kept = {row["original_path"] for row in case.rows()}
        names = {drop.path: os.path.relpath(os.fsdecode(drop.path), case.root)
                 for drop in case.dropped}  # fmt: skip
        without = [
            drop for drop in case.dropped
            if not Path(os.fsdecode(drop.path)).exists() and names[drop.path] not in kept
        ]  # fmt: skip
        case.run("run", "--once")
        # To the judge these are strangers, that lay in the answer folders before.
        found = case.look()
        rows = {oracle.path_of(row["path"], case.root) for row in case.rows()}
        strangers = {path: thing for path, thing in found.items()
                     if thing.kind == "file" and path.startswith(answers(case))
                     and path not in rows}  # fmt: skip
        assert sorted(each.sha256 for each in strangers.values()) == sorted(
            drop.sha256 for drop in without
        )
        checked = case.run("db", "check", "--json", allowed=(0, 1))
        assert checked.status == (1 if without else 0)
        for path in strangers:
            assert os.path.relpath(os.fsdecode(path), case.root) in checked.answer()
        case.dropped = [drop for drop in case.dropped if drop not in without]
        gone = {drop.path for drop in without}
        before = {path: thing for path, thing in case.before.items() if path not in gone}
        case.finish(before=before | strangers)


def test_a_check_waits_for_no_writer_and_stops_none(case: Case) -> None:
    case.drop_mixture(8)
    case.run("run", "--once")
    locked = call("tests.faults.acts:lock_ledger", path=str(ledger(case)))
    checked = case.run(
        "db", "check", "--json",
        before=[call("tests.faults.acts:wait_for_no_lock")],
        faults=[Fault("gdwatch.ledger.queries:rows_in", do=(locked,))],
    )  # fmt: skip
    answer = json.loads(checked.answer())
    assert answer.pop("root") == str(case.root)
    assert answer.keys() == {"damage", "missing", "back", "moved", "without_row", "away"}
    assert not any(answer.values())
    case.judge()


def answers(case: Case) -> tuple[bytes, ...]:
    return tuple(os.fsencode(case.root / name) + b"/" for name in oracle.OUTCOMES)


# ------------------------------------------------------------------------- another schema


SCHEMAS = {
    "newer": ("UPDATE alembic_version SET version_num = '9999'", "is newer than this gdwatch"),
    "foreign": ("PRAGMA application_id = 1", "another program's"),
    "no version": ("DELETE FROM alembic_version", "without its version"),
    "unmarked": ("PRAGMA application_id = 0", "another program's"),
}


@pytest.mark.scenario("T22", quick=2, long=4)
def test_a_ledger_that_is_newer_or_not_ours_stops_the_start(rounds: list[Case]) -> None:
    for case in rounds:
        case.drop_mixture(6)
        case.run("run", "--once")
        good = ledger(case).read_bytes()
        statement, word = SCHEMAS[case.pick(list(SCHEMAS))]
        with contextlib.closing(sqlite3.connect(ledger(case), isolation_level=None)) as connection:
            connection.execute(statement)
        changed, later = ledger(case).read_bytes(), case.drop("later.png")
        run = case.start("run", allowed=(78,))
        refused(case, run, word)
        assert ledger(case).read_bytes() == changed
        assert later.exists()
        ledger(case).write_bytes(good)
        case.finish()


def test_another_programs_database_with_a_table_of_that_name_stops_the_first_start(
    case: Case,
) -> None:
    with contextlib.closing(sqlite3.connect(ledger(case))) as connection:
        connection.executescript("CREATE TABLE files (name TEXT); INSERT INTO files VALUES (1)")
    before, stays = ledger(case).read_bytes(), case.drop("a.png")
    run = case.start("run", allowed=(78,))
    assert run.wait() == 78
    (line,) = run.lines()
    assert "another program's" in line
    assert ledger(case).read_bytes() == before
    assert stays.exists()
    assert not (case.root / ".gdwatch").exists()


# ------------------------------------------------------------------------- gone


@pytest.mark.scenario("T23", quick=2, long=10)
def test_a_ledger_removed_or_replaced_while_open_ends_the_service(rounds: list[Case]) -> None:
    for case in rounds:
        case.drop_mixture(6)
        run = ready(case, allowed=(78,))
        case.wait_until_filed(run)
        kept = case.folder / "kept.db"
        os.link(ledger(case), kept)
        how = case.pick(["removed", "replaced"])
        if how == "removed":
            ledger(case).unlink()
        else:
            shutil.copyfile(kept, case.folder / "other.db")
            os.replace(case.folder / "other.db", ledger(case))
        case.drop_mixture(5)
        later = [drop.path for drop in case.dropped[6:]]
        assert run.wait() == 78, run.text()
        assert "was removed or replaced while in use" in run.lines()[-1]
        assert all(os.path.exists(path) for path in later)
        case.count.faults += 1
        for left in case.root.glob("results.db*"):
            left.unlink()
        kept.rename(ledger(case))
        case.finish()
