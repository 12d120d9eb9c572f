"""One run of a scenario: its own root, what is dropped there, the runs over it, the verdict."""

import contextlib
import math
import os
import random
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from gdwatch.service.filer import TOGETHER
from tests.faults import careless_worker, oracle, toy
from tests.faults.launch import DEADLINE_S, Fault, Launcher, Plan, Run, call
from tests.faults.oracle import OUTCOMES, Dropped, Evidence, Violation
from tests.faults.tally import Count
from tests.faults.toy import Answer

Cell = TypeVar("Cell")
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
_PROBABILITIES = (0.97, 0.03, 0.5, 0.91, 0.09, 0.85)


def enough(times: int, batch: int) -> int:
    """So many files that batches are recorded so often, however many of them together."""
    return times * batch * TOGETHER + 4


class Wrong(AssertionError):  # noqa: N818 - what the oracle found, not a failure of its own
    """What the oracle found. violations: all of it."""

    def __init__(self, violations: Sequence[Violation], told: Sequence[str]) -> None:
        super().__init__("\n".join([*map(str, violations[:20]), *told]))
        self.violations = violations


@dataclass
class Case:
    """One run of a scenario.

    numbers: of this run within its test, from 0, and how many are wanted; in the long form it
    goes on where the last session has stopped. dice: from that number and the test's name, so
    that a failure repeats.
    """

    folder: Path
    launcher: Launcher
    model: Path
    numbers: tuple[int, int]
    long: bool
    dice: random.Random
    count: Count = field(default_factory=lambda: Count(runs=1))
    settings: dict[str, Any] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    allowed: dict[int, Sequence[int]] = field(default_factory=dict)
    judged: bool = False
    mutant: str = ""  # the mistake that every run makes, see `mutants`
    shared: Path | None = None  # a SQLite ledger that other roots have rows in, too

    def __post_init__(self) -> None:
        self.number, self.wanted = self.numbers
        self.root = self.folder / "root"
        self.inbox = self.root / "inbox"
        for name in ("inbox", *OUTCOMES):
            (self.root / name).mkdir(parents=True)
        self.beside = self.folder / "beside"
        self.beside.mkdir()
        (self.beside / "canary.png").write_bytes(toy.picture(0xCA9A41, 0.97))
        self.settings = {
            "model": self.model, "settle_ms": 1, "workers": 1, "min_free_mb": 1, "device": "cpu",
            "batch_wait_ms": 5, **self.settings,
        }  # fmt: skip
        self._aside = self.folder / "aside"
        self._aside.mkdir()
        self._notes = self.folder / "mistake.notes"
        self._elsewhere: Path | None = None
        self._halves: dict[str, bytes] = {}
        self._serial = self.number * 100_000
        self.before: dict[bytes, oracle.Thing] = {}
        self.model_sha256 = [_sha256(Path(self.model).read_bytes())]

    # ------------------------------------------------------------------ what is dropped

    def pick(self, cells: Sequence[Cell]) -> Cell:
        """A cell of a sweep: the quick form takes a sample spread over all, the long form each."""
        if self.long:
            return cells[self.number % len(cells)]
        # A step that shares no factor with the length meets every value of every dimension.
        step = next(n for n in range(len(cells) * 5 // 8, 0, -1) if math.gcd(n, len(cells)) == 1)
        return cells[self.number * step % len(cells)]

    def put_inbox_on(self, other: Path) -> None:
        """Have the inbox on another file system; nothing must have been dropped yet."""
        self.inbox.rmdir()
        self._elsewhere = other / f"gdwatch-{os.getpid()}-{time.monotonic_ns()}"
        self.inbox = self._elsewhere / "inbox"
        self._aside = self._elsewhere / "aside"
        self.inbox.mkdir(parents=True)
        self._aside.mkdir()
        self.settings["inbox"] = self.inbox

    def drop(
        self,
        name: str | bytes,
        content: bytes | None = None,
        answer: Answer | None = None,
        *,
        mtime_ns: int | None = None,
        ends: str = "filed",
    ) -> Path:
        """Drop a file, whole, by rename; without `content` a new picture of the toy model.

        answer: what the ledger must say; by default the toy model's, if it is a picture of it.
        """
        if content is None:
            content = self.picture()
        target = Path(os.fsdecode(os.fsencode(self.inbox) + b"/" + os.fsencode(name)))
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = self._aside / f"{len(self.dropped)}"
        aside.write_bytes(content)
        if mtime_ns is not None:
            os.utime(aside, ns=(mtime_ns, mtime_ns))
        # Before it is there: a service may file it at once.
        self.note(target, answer or toy.answer_of(content), lies=aside, ends=ends)
        return aside.rename(target)

    def note(
        self, path: Path, answer: Answer | None, *, lies: Path | None = None, ends: str = "filed"
    ) -> Dropped:
        """Note a file as dropped, as it is now. lies: where, if it has yet to come there."""
        lies = lies or path
        status = lies.stat()
        drop = Dropped(os.fsencode(path), _sha256(lies.read_bytes()), status.st_size,
                       status.st_mtime_ns, answer, ends)  # fmt: skip
        self.dropped.append(drop)
        self.count.dropped += 1
        return drop

    def drop_half(self, name: str, content: bytes) -> Path:
        """Drop the first half of a file, which is rejected; `complete` writes the other.

        Returns where it is to lie then.
        """
        self.drop(name, content[: len(content) // 2], Answer("rejected", "truncated"))
        self._halves[name] = content
        return self.root / "rejected" / name

    def complete(self, rejected: Path) -> None:
        """Write the second half of a file where it was moved to, and note what it is now."""
        name = str(rejected.relative_to(self.root / "rejected"))
        content = self._halves[name]
        with rejected.open("ab") as writer:
            writer.write(content[rejected.stat().st_size :])
        place = os.fsencode(self.inbox / name)
        (index,) = [at for at, drop in enumerate(self.dropped) if drop.path == place]
        status = rejected.stat()
        self.change(index, sha256=_sha256(content), size=status.st_size,
                    mtime_ns=status.st_mtime_ns, answer=toy.answer_of(content))  # fmt: skip

    def change(self, index: int, **values: Any) -> None:
        """Note that a drop is another now: its bytes, or how it must end."""
        self.dropped[index] = replace(self.dropped[index], **values)

    def picture(self, p_male: float | None = None, format_: str = "PNG") -> bytes:
        """A picture that no other is like."""
        self._serial += 1
        if p_male is None:
            p_male = _PROBABILITIES[self._serial % len(_PROBABILITIES)]
        return toy.picture(self._serial & 0xFFFFFFFF, p_male, format_)

    def drop_mixture(self, count: int) -> None:
        """Drop what people drop: formats, sub-folders, names used twice, copies, rubbish."""
        first = b""
        for number in range(count):
            format_ = _FORMATS[number % len(_FORMATS)]
            name = f"{number:03}.{format_.lower()}"
            content, answer = self.picture(format_=format_), None
            first = first or content
            if number % 7 == 3:
                name = f"wedding/{name}"
            elif number % 7 == 5:
                name = f"deep/er/{name}"
            if number % 11 == 6:
                content, answer = (
                    b"no picture %d" % self._serial,
                    Answer("rejected", "not_an_image"),
                )
            elif number % 11 == 8:
                content = first  # a running service may have filed it already
            self.drop(name, content, answer)

    def another(self, folder: Path) -> "Case":
        """A case beside this one, with a root of its own; it is not counted."""
        return Case(folder, self.launcher, self.model, self.numbers, self.long, self.dice,
                    settings=dict(self.settings))  # fmt: skip

    # ------------------------------------------------------------------ runs

    def start(
        self,
        *words: str | Path,
        faults: Sequence[Fault] = (),
        before: Sequence[Mapping[str, Any]] = (),
        engine: Literal["stub", "real"] = "stub",
        fresh: bool | Sequence[str] = False,
        environment: Mapping[str, str] | None = None,
        allowed: Sequence[int] = (0,),
        **settings: Any,
    ) -> Run:
        """Start a command: `run`, `run --once`, `correct 1 male` and so on.

        allowed: the exit statuses that are right, -9 for a run that is to be killed.
        """
        if not self.before:
            self.before = self.look()
        given = {**self.settings, **settings}
        verb, *rest = map(str, words)
        plan = Plan(
            words=[verb, *rest, f"--root={self.root}",
                   *(f"--set={name}={value}" for name, value in given.items())],
            folder=self.folder,
            log=self.folder / f"run-{len(self.runs)}.log",
            faults=faults, before=[*before, *self._mistake()], engine=engine,
            environment=environment or {}, fresh=fresh,
        )  # fmt: skip
        run = self.launcher.start(plan)
        self.allowed[len(self.runs)] = allowed
        self.runs.append(run)
        return run

    def _mistake(self) -> list[Mapping[str, Any]]:
        if not self.mutant:
            return []
        return [call("tests.faults.mutants:apply", name=self.mutant, notes=str(self._notes))]

    def require_mistake(self) -> None:
        """Raise AssertionError unless the runs made their mistake, and all of it was reached."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        told = {what: {line.partition(" ")[2] for line in lines if line.startswith(what)}
                for what in ("made", "planted", "reached")}  # fmt: skip
        assert self.mutant in told["made"], f"{self.mutant} could not be made:\n{self._told()}"
        if careless_worker.reached(self._notes):
            told["reached"].add(careless_worker.CHECK)
        for run in self.runs:
            frames = re.findall(r'^ *File "([^"]+)"', run.text(), re.MULTILINE)
            assert not (frames and frames[-1].endswith("mutants.py")), run.text()  # its own mistake
        unreached = told["planted"] - told["reached"]
        assert not unreached, f"{self.mutant} was never reached: {unreached}"

    def run(self, *words: str | Path, **how: Any) -> Run:
        """Run a command to its end, and count what happened to it."""
        run = self.start(*words, **how)
        run.wait()
        self.count.faults += len(run.hits)
        self.count.kills += run.status == -9
        return run

    def look(self) -> dict[bytes, oracle.Thing]:
        """Everything in the configured folders and beside them."""
        return oracle.look(self.inbox, *(self.root / name for name in OUTCOMES), self.beside)

    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of `files`."""
        root = self.root if self.shared else None
        return list(oracle.read_ledger(self.database, root).files)

    @property
    def database(self) -> Path:
        """Where the ledger lies."""
        return self.shared or self.root / "results.db"

    def wait_until_filed(self, run: Run, deadline_s: float = DEADLINE_S) -> None:
        """Wait until a running service has filed all that was dropped."""
        end = time.monotonic() + deadline_s
        wanted = sum(drop.ends != "waiting" for drop in self.dropped)
        while True:
            rows = self.rows()
            if len(rows) >= wanted and not any(row["state"] == "recorded" for row in rows):
                return
            assert run.status is None, run.text()
            assert time.monotonic() < end, run.text()
            time.sleep(0.02)

    # ------------------------------------------------------------------ the verdict

    def evidence(self, **others: Any) -> Evidence:
        # A first start has its own tests; here a kill may come before its folders are there.
        logs = [line for run in self.runs for line in run.lines()]
        return Evidence(**{
            "root": self.root, "inbox": self.inbox, "database": self.database,
            "shared": self.shared is not None,
            "dropped": list(self.dropped), "before": self.before, "after": self.look(),
            "beside": [self.beside], "log": logs, "model_sha256": self.model_sha256,
            "statuses": [
                (run.status, self.allowed[number]) for number, run in enumerate(self.runs)
                if run.status is not None
            ],
            **others,
        })  # fmt: skip

    def look_after_fault(self) -> None:
        """Ask the oracle for what must hold at every moment, recovered or not."""
        self._require_no(oracle.judge(self.evidence(rest=False)))

    def finish(self, *, again: bool = True, faults: Sequence[Fault] = (), **evidence: Any) -> None:
        """Let the service finish, then again, and ask the oracle for everything.

        faults: what stays as it was, as that two folders are on two devices.
        """
        faults = [replace(fault, may_miss=True) for fault in faults]  # nothing may be left to hit
        stays = any(drop.ends == "waiting" for drop in self.dropped)
        self.run("run", "--once", faults=faults, allowed=(0, 1) if stays else (0,))
        after = self.look()
        if again:
            self.run("run", "--once", faults=faults, allowed=(0, 1) if stays else (0,))
            evidence = {"again": self.look(), "rows_again": self.rows(), **evidence}
        self.judge(after=after, **evidence)

    def judge(self, **evidence: Any) -> None:
        """Ask the oracle for everything, now; and whether the faults were there at all."""
        self.judged = True
        self._require_no(oracle.judge(self.evidence(**evidence)))
        for run in self.runs:
            for fault in run.plan.faults:
                happened = fault.may_miss or fault.has_happened(run.hits)
                assert happened, f"{fault.at} {fault.when} was never reached: {run.hits}"

    def _require_no(self, violations: Sequence[Violation]) -> None:
        self.count.lost += sum(each.kind == "lost" for each in violations)
        self.count.twice += sum(each.kind == "twice" for each in violations)
        if violations:
            raise Wrong(violations, [f"run {self.number}:", *self._what_happened()])

    def _told(self) -> str:
        return "\n".join(self._what_happened())

    def _what_happened(self) -> list[str]:
        told = []
        for run in self.runs:
            told.append(f"--- {' '.join(run.plan.words[:4])} → {run.status}, hits {run.hits}")
            told += run.lines()[-15:]
        return told

    @contextlib.contextmanager
    def ending(self) -> Iterator["Case"]:
        """End what still runs, and leave no folder behind."""
        try:
            yield self
        finally:
            for run in self.runs:
                if run.status is None:
                    run.kill()
            if self._elsewhere is not None:
                shutil.rmtree(self._elsewhere)


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
