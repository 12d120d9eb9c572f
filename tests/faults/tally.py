"""What the scenarios have been through, added up in a file so that a long run can be stopped.

Two columns are kept apart: the quick form counts anew in each session, the long form adds up.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

Plain = dict[str, dict[str, dict[str, int]]]  # scenario, test, what is counted

# Of the page on faults: T, what happens, how many runs the quick and the long form want.
SCENARIOS: dict[str, tuple[str, int, int]] = {
    "T1": ("kill -9 at each crash point", 27, 2000),
    "T2": ("kill -9 at a random time", 10, 1000),
    "T3": ("SIGTERM, SIGINT, once and twice", 18, 200),
    "T4": ("power loss", 40, 5000),
    "T5": ("output full", 3, 50),
    "T6": ("disk of the database full", 3, 50),
    "T7": ("two devices", 9, 300),
    "T8": ("no permission, read-only", 6, 60),
    "T9": ("errors of the disk", 12, 800),
    "T10": ("clock jumps", 4, 40),
    "T11": ("events lost", 1, 20),
    "T12": ("slow writers", 10, 260),
    "T13": ("changed after it was read", 5, 120),
    "T14": ("the same name twice", 4, 100),
    "T15": ("the same content twice", 3, 50),
    "T16": ("hostile names", 12, 300),
    "T17": ("links, FIFOs, sockets", 6, 30),
    "T18": ("bombs", 5, 60),
    "T19": ("broken images", 20, 5000),
    "T20": ("database locked", 1, 10),
    "T21": ("database corrupt", 4, 100),
    "T22": ("another schema", 2, 4),
    "T23": ("database removed or replaced", 2, 10),
    "T24": ("workers die and hang", 6, 200),
    "T25": ("out of memory on the card", 4, 30),
    "T26": ("another user", 4, 10),
    "T27": ("model swapped or bad", 5, 20),
    "T28": ("a second service", 3, 30),
    "T29": ("inbox or root-id gone", 4, 40),
    "T30": ("folder swapped for a link", 6, 60),
    "T31": ("other people's folders", 3, 20),
    "T32": ("answers taken away", 4, 50),
    "T33": ("commands beside the service", 6, 200),
    "T34": ("originals that stay, and restore", 10, 200),
    "T35": ("several roots, one ledger", 2, 50),
}


@dataclass(slots=True)
class Count:
    """Of one scenario, in the order of the table."""

    runs: int = 0
    dropped: int = 0
    kills: int = 0
    faults: int = 0
    lost: int = 0
    twice: int = 0

    def add(self, other: "Count") -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Tally:
    """Counts by scenario and test. file: where the long form keeps them; None: nowhere."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.counts: dict[str, dict[str, Count]] = {}
        if file is not None and file.exists():
            self.take_in(json.loads(file.read_text()))

    def plain(self) -> Plain:
        """All counts, for a file or another process."""
        return {
            scenario: {test: asdict(count) for test, count in tests.items()}
            for scenario, tests in self.counts.items()
        }

    def take_in(self, plain: Plain) -> None:
        """Add the counts of an earlier session, or of another process."""
        for scenario, tests in plain.items():
            for test, count in tests.items():
                self.of(scenario, test).add(Count(**count))

    def of(self, scenario: str, test: str) -> Count:
        """One test's share of a scenario, so far."""
        return self.counts.setdefault(scenario, {}).setdefault(test, Count())

    def total(self, scenario: str) -> Count:
        total = Count()
        for count in self.counts.get(scenario, {}).values():
            total.add(count)
        return total

    def add(self, scenario: str, test: str, count: Count) -> None:
        """Count one more run, at once also in the file: a kill of the tests loses nothing."""
        self.of(scenario, test).add(count)
        if self._file is None:
            return
        aside = self._file.with_suffix(".part")
        aside.write_text(json.dumps(self.plain(), indent=1))
        os.replace(aside, self._file)

    def table(self, *, long: bool) -> list[str]:
        """Every scenario that has run, with its counts against the wanted figure."""
        names = ("runs", "wanted", "dropped", "kills", "faults", "lost", "twice")
        lines = [f"{'':4} {'':32}" + "".join(f"{name:>9}" for name in names)]
        whole = Count()
        missing = [scenario for scenario in SCENARIOS if scenario not in self.counts]
        for scenario, (what, quick, many) in SCENARIOS.items():
            if scenario in missing:
                continue
            total = self.total(scenario)
            whole.add(total)
            wanted = many if long else quick
            figures = (total.runs, wanted, total.dropped, total.kills, total.faults, total.lost,
                       total.twice)  # fmt: skip
            short = "" if total.runs >= wanted else "  short"
            lines.append(
                f"{scenario:4} {what:32}" + "".join(f"{each:9}" for each in figures) + short
            )
        figures = (whole.runs, "", whole.dropped, whole.kills, whole.faults, whole.lost,
                   whole.twice)  # fmt: skip
        lines.append(f"{'':4} {'all':32}" + "".join(f"{each:>9}" for each in figures))
        return [*lines, f"not run: {' '.join(missing)}"] if missing else lines
