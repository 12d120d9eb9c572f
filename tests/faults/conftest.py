"""The scenarios of tests/faults: how often each runs, and what each run is made from."""

import contextlib
import functools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests import build
from tests.faults.case import Case
from tests.faults.counting import TALLY
from tests.faults.launch import Launcher
from tests.faults.tally import SCENARIOS, Tally


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A scenario is many runs in one test; the long form takes hours."""
    for item in items:
        if item.get_closest_marker("scenario"):
            item.add_marker(pytest.mark.timeout(0 if config.getoption("--long") else 900))
        elif "launcher" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    with Launcher().ending() as launcher:
        yield launcher


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of the stub engine; the real one sees nothing but brightness with it."""
    return build.model_file(tmp_path_factory.mktemp("toy") / "toy.safetensors")


@pytest.fixture
def case(tmp_path: Path, launcher: Launcher, toy_model: Path) -> Iterator[Case]:
    """One case that is no run of a scenario: nothing is counted."""
    with _folder(tmp_path, on_disk=False) as folder:
        made = Case(folder / "case", launcher, toy_model, (0, 1), long=False, dice=random.Random(0))
        with made.ending() as case:
            yield case


@pytest.fixture
def rounds(
    request: pytest.FixtureRequest, tmp_path: Path, launcher: Launcher, toy_model: Path
) -> Iterator[Iterator[Case]]:
    """A case for each run of the scenario that the test is marked with, until there were enough.

    Each must ask the oracle, by `finish` or `judge`. Its folder goes when it has passed.
    """
    marker = request.node.get_closest_marker("scenario")
    assert marker is not None, "mark it with scenario(T, quick=…, long=…)"
    (scenario,) = marker.args
    assert scenario in SCENARIOS
    long: bool = request.config.getoption("--long")
    wanted: int = marker.kwargs["long" if long else "quick"]
    tally = request.config.stash[TALLY]
    test = request.node.nodeid.rpartition("/")[2]
    make = functools.partial(Case, launcher=launcher, model=toy_model, long=long)
    with _folder(tmp_path, on_disk=marker.kwargs.get("on_disk", False)) as folder:
        cases = rounds_of(tally, (scenario, test), wanted, folder, make)
        with contextlib.closing(cases):
            yield cases


@contextlib.contextmanager
def _folder(tmp_path: Path, *, on_disk: bool) -> Iterator[Path]:
    """Where cases are at home: in memory, since a disk takes milliseconds for each sync."""
    if on_disk or not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="gdwatch-", dir="/dev/shm") as folder:
        yield Path(folder)


def rounds_of(
    tally: Tally, which: tuple[str, str], wanted: int, folder: Path, make: Callable[..., Case]
) -> Generator[Case, None, None]:
    """Cases until `wanted` have passed, whatever session they ran in; which: scenario and test."""
    while (number := tally.of(*which).runs) < wanted:
        dice = random.Random(f"{which[1]} {number}")
        made = make(folder / str(number), numbers=(number, wanted), dice=dice)
        with made.ending() as case:
            try:
                yield case
                assert case.judged, "the oracle was not asked"
            except BaseException:
                case.count.runs = 0  # what it lost counts; the next session tries it again
                raise
            finally:
                tally.add(*which, case.count)
        shutil.rmtree(case.folder)
