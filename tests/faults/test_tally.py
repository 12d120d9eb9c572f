"""Counts add up over sessions, and the table shows them against what is wanted."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.case import Case, Wrong
from tests.faults.conftest import rounds_of
from tests.faults.launch import Launcher, environment
from tests.faults.tally import SCENARIOS, Count, Tally


def test_counts_add_up_over_sessions(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    first = Tally(file)
    first.add("T1", "a", Count(runs=1, dropped=24, kills=1, faults=1))
    first.add("T1", "b", Count(runs=1, dropped=3, lost=2, twice=1))
    second = Tally(file)
    second.add("T1", "a", Count(runs=1, dropped=1))
    assert Tally(file).of("T1", "a") == Count(runs=2, dropped=25, kills=1, faults=1)
    assert Tally(file).total("T1") == Count(runs=3, dropped=28, kills=1, faults=1, lost=2, twice=1)


def test_the_table_says_what_is_short_and_what_has_not_run() -> None:
    tally = Tally(None)
    tally.add("T20", "a", Count(runs=1, dropped=7))
    quick, long = tally.table(long=False), tally.table(long=True)
    assert quick[1].split() == ["T20", "database", "locked", "1", "1", "7", "0", "0", "0", "0"]
    assert long[1].split()[-1] == "short"
    assert quick[-1] == "not run: " + " ".join(name for name in SCENARIOS if name != "T20")


COUNTING = """
import pytest
from tests.faults.counting import TALLY
from tests.faults.tally import Count

@pytest.mark.parametrize("number", range(4))
def test_it(request, number):
    request.config.stash[TALLY].add("T20", "test", Count(runs=1, dropped=10**number))
"""


def counted(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A session of tests that count, on their own."""
    (folder / "test_counting.py").write_text(COUNTING)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.faults.counting", *words, "test_counting.py"],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("processes", ["0", "2"])
def test_the_table_is_of_all_processes_of_a_session(tmp_path: Path, processes: str) -> None:
    pytest.importorskip("xdist")
    told = counted(tmp_path, f"--numprocesses={processes}")
    assert told.returncode == 0, told.stdout
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("T20")]
    assert line.split()[3:] == ["4", "1", "1111", "0", "0", "0", "0"]


def test_the_long_form_refuses_to_count_in_several_processes(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    told = counted(tmp_path, "--numprocesses=2", "--long")
    assert told.returncode == pytest.ExitCode.USAGE_ERROR
    assert told.stderr.strip() == (
        "ERROR: --long counts in one file, from one process: leave --numprocesses out"
    )
    assert not (tmp_path / "faults.json").exists()


def test_the_long_form_goes_on_where_it_failed_and_forgets_no_loss(
    tmp_path: Path, launcher: Launcher, toy_model: Path
) -> None:
    make = functools.partial(Case, launcher=launcher, model=toy_model, long=True)
    file, numbers = tmp_path / "faults.json", []

    def session(name: str, fails_at: int) -> None:
        for case in rounds_of(Tally(file), ("T20", "test"), 3, tmp_path / name, make):
            numbers.append(case.number)
            dropped = case.drop("a.png")
            if case.number == fails_at:
                dropped.unlink()
            case.finish()

    with pytest.raises(Wrong, match="lost"):
        session("first", fails_at=1)
    assert Tally(file).total("T20") == Count(runs=1, dropped=2, lost=1)
    session("second", fails_at=-1)
    assert numbers == [0, 1, 1, 2]
    assert Tally(file).total("T20") == Count(runs=3, dropped=4, lost=1)
    session("third", fails_at=0)
    assert len(numbers) == 4, "three were wanted, and three have passed"


def test_a_round_that_does_not_ask_the_oracle_fails(
    tmp_path: Path, launcher: Launcher, toy_model: Path
) -> None:
    make = functools.partial(Case, launcher=launcher, model=toy_model, long=False)
    with pytest.raises(AssertionError, match="the oracle was not asked"):
        list(rounds_of(Tally(None), ("T20", "test"), 1, tmp_path, make))
