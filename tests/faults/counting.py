"""A pytest plugin: the counts of the fault scenarios, of all processes of a session, in one table.

It stands apart from `conftest`, which the process that shares tests out to others never loads.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.tally import Tally

TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the fault scenarios as often as wanted")
    parser.addoption("--faults-file", default="faults.json", help="where the long form counts")


def pytest_configure(config: pytest.Config) -> None:
    long = config.getoption("--long")
    if long and config.getoption("dist", "no") != "no":
        raise pytest.UsageError(
            "--long counts in one file, from one process: leave --numprocesses out"
        )
    config.stash[TALLY] = Tally(Path(config.getoption("--faults-file")) if long else None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of a process that got its tests from another: hand the counts over."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = session.config.stash[TALLY].plain()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any) -> None:
    """Take in the counts of another process; one that crashed has left none."""
    node.config.stash[TALLY].take_in(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    tally = config.stash[TALLY]
    if tally.counts:
        long = config.getoption("--long")
        terminalreporter.section("fault scenarios, " + ("long form" if long else "quick form"))
        for line in tally.table(long=long):
            terminalreporter.write_line(line)
