"""Forty everyday acts, by hand and by command, beside a service that is killed now and then.

At the end every file lies where the person put it, every word is kept, and every decision that was
ever made can still be asked for.
"""

import itertools
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import build
from tests.faults.case import Case
from tests.faults.launch import Fault, Run

_KILLED = -9
_ACTS = 40
_FOLDER = {"female": "female", "male": "male", "neither": "unsure", "reject": "rejected"}
_WORD = {folder: word for word, folder in _FOLDER.items()}
_KILLS = ("C7.rename", "C8.sync", "C9.mark", "W.hand")


@dataclass
class Photograph:
    """What a person knows of one: where it should lie, and what was said of it.

    judged: the model's folder. hands: how often it was moved by hand.
    """

    id: int
    sha256: str
    judged: str
    folder: str
    word: str | None = None
    hands: int = 0


@dataclass
class Person:
    """Someone who acts on a root, and remembers what must have come of it.

    done: for each command that can be taken back, what it found: folder, word and hands, by id.
    """

    case: Case
    dice: random.Random
    photographs: dict[int, Photograph] = field(default_factory=dict)
    done: list[dict[int, tuple[str, str | None, int]]] = field(default_factory=list)

    def meet(self) -> None:
        """Learn to know what was filed since."""
        asked = "SELECT f.id, f.sha256, r.outcome FROM files f JOIN results r ON r.id = f.result_id"
        for row in build.query(self.case.root, asked + " WHERE f.state = 'filed'"):
            known = Photograph(row["id"], row["sha256"], row["outcome"], row["outcome"])
            self.photographs.setdefault(row["id"], known)

    def any(self) -> Photograph:
        return self.dice.choice(list(self.photographs.values()))

    def lies(self, photograph: Photograph) -> Path:
        """Where it lies at this moment."""

        def found() -> Path | None:
            there = build.contents(self.case.root)
            paths = [path for path, sha256 in there.items() if sha256 == photograph.sha256]
            return self.case.root / paths[0] if len(paths) == 1 else None

        path: Path = build.wait_until(found)
        return path

    # ------------------------------------------------------------------ by hand

    def move(self) -> None:
        """Drag one to another answer folder."""
        photograph = self.any()
        target = self.dice.choice([each for each in _WORD if each != photograph.folder])
        source = self.lies(photograph)
        source.rename(
            self.case.root / target / f"{photograph.id}-{photograph.hands}{source.suffix}"
        )
        takes_back = target == photograph.judged == "unsure"
        photograph.word = None if takes_back else _WORD[target]
        photograph.folder = target
        photograph.hands += 1

    def rename(self) -> None:
        """Call one otherwise, in a folder of its own."""
        photograph = self.any()
        source = self.lies(photograph)
        photograph.hands += 1
        target = self.case.root / photograph.folder / f"album {photograph.hands}"
        target.mkdir(exist_ok=True)
        source.rename(target / f"{photograph.id}{source.suffix}")

    def take_and_put_back(self) -> None:
        """Take one away, have the ledger notice, and put it back."""
        source = self.lies(self.any())
        aside = source.rename(self.case.folder / source.name)
        self.case.run("db", "check", "--mark", allowed=(0, 1))
        aside.rename(source)

    # ------------------------------------------------------------------ by command

    def correct(self) -> None:
        chosen = {each.id: each for each in (self.any(), self.any())}
        word = self.dice.choice(list(_FOLDER))
        self._command(chosen, "correct", *map(str, chosen), word)
        for photograph in chosen.values():
            photograph.folder, photograph.word = _FOLDER[word], word

    def requeue(self) -> None:
        """The model says what it has said before, so nothing moves."""
        chosen = {each.id: each for each in (self.any(), self.any())}
        self._command(chosen, "requeue", *map(str, chosen))

    def reprocess(self) -> None:
        self.case.run("reprocess", "--dry-run", str(self.case.root), min_confidence=0.95)
        self.case.run("reprocess", str(self.case.root), min_confidence=0.6)

    def undo(self) -> None:
        if not self.done:
            return
        self.case.run("undo")
        for file_id, (folder, word, hands) in self.done.pop().items():
            photograph = self.photographs[file_id]
            if photograph.hands == hands:
                photograph.folder, photograph.word = folder, word

    def _command(self, chosen: dict[int, Photograph], *words: str) -> None:
        before = {each.id: (each.folder, each.word, each.hands) for each in chosen.values()}
        self.case.run(*words)
        self.done.append(before)


def history(root: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Every row of the tables that only grow."""
    return {
        table: {tuple(row.values()) for row in build.query(root, f"SELECT * FROM {table}")}
        for table in ("results", "moves", "corrections", "changes")
    }


@pytest.mark.timeout(900)
def test_forty_everyday_acts_end_as_the_person_meant_them(case: Case) -> None:
    dice = random.Random(28)
    person = Person(case, dice)
    for number in range(8):
        case.drop(f"trip/{number}.png")
    service = case.start("run", allowed=(_KILLED,))
    case.wait_until_filed(service)
    person.meet()
    acts: list[Callable[[], None]] = [
        person.correct, person.move, person.requeue, person.undo, person.correct, person.rename,
        person.take_and_put_back, person.undo, person.move, person.reprocess,
    ]  # fmt: skip
    seen = history(case.root)
    for number in range(_ACTS):
        if number % 10 == 5:  # a busy service, killed at some step, and started again
            case.drop(f"new/{number}.png")
            service = _replaced(case, service, dice)
            case.wait_until_filed(service)
            person.meet()
        acts[number % len(acts)]()
        now = history(case.root)
        for table, rows in seen.items():
            assert rows <= now[table], f"a row of {table} was changed by {acts[number % len(acts)]}"
        seen = now
    service.kill()
    case.run("run", "--once")
    assert case.run("db", "check", "--mark", "--json").status == 0
    _require_as_meant(person)
    before = build.contents(case.root)
    case.run("run", "--once")
    assert build.contents(case.root) == before
    assert case.run("db", "check", "--mark").status == 0


def _replaced(case: Case, service: Run, dice: random.Random) -> Run:
    service.kill()
    at = dice.choice(_KILLS)
    hit = case.start(
        "run", faults=[Fault(at, dice.choice(("before", "after")), may_miss=True)],
        allowed=(_KILLED,),
    )  # fmt: skip
    if not hit.ends_within(1.0):
        hit.kill()
    return case.start("run", allowed=(_KILLED,))


def _require_as_meant(person: Person) -> None:
    asked = "SELECT id, path, outcome, sha256, corrected, state FROM current_results"
    rows = {row["id"]: row for row in build.query(person.case.root, asked)}
    there = build.contents(person.case.root)
    assert rows.keys() == person.photographs.keys()
    for photograph in person.photographs.values():
        row = rows[photograph.id]
        said = (row["state"], row["outcome"], row["corrected"], there.get(row["path"]))
        meant = ("filed", photograph.folder, photograph.word, photograph.sha256)
        assert said == meant, (photograph, row)
    assert len(there) == len(rows)


def test_a_file_dragged_to_another_answer_folder_is_noted_while_the_service_runs(
    case: Case,
) -> None:
    case.drop("trip/grey.png", case.picture(0.5))
    service = case.start("run")
    case.wait_until_filed(service)
    (case.root / "unsure" / "trip" / "grey.png").rename(case.root / "female" / "grey.png")
    (noted,) = build.wait_until(lambda: service.events("file.moved"))
    assert noted["to"].endswith("female/grey.png")
    asked = "SELECT path, corrected FROM current_results"
    assert build.query(case.root, asked) == [{"path": "female/grey.png", "corrected": "female"}]
    service.send(15)
    assert service.wait() == 0
    # While no service runs, and under another name: found by the first listing.
    (case.root / "female" / "grey.png").rename(case.root / "male" / "renamed.png")
    again = case.start("run", allowed=(_KILLED,))
    build.wait_until(lambda: again.events("file.moved"))
    assert build.query(case.root, asked) == [{"path": "male/renamed.png", "corrected": "male"}]
    again.kill()


def put_by_hand(case: Case, lies: Mapping[str, Path]) -> None:
    """Everything that people do with filed photographs. lies: where, by name."""

    def those(kind: str) -> list[Path]:
        return [path for name, path in lies.items() if name.endswith(f"/{kind}.png")]

    away = [path.rename(case.folder / f"away-{n}") for n, path in enumerate(those("back"))]
    case.run("db", "check", "--mark", "--force", allowed=(0, 1))
    for path, back in zip(away, those("back"), strict=True):
        path.rename(back)
    for path in those("renamed"):
        path.rename(path.with_name("otherwise.png"))
    for number, path in enumerate(those("by_hand")):
        path.rename(case.root / "rejected" / f"{number}.png")
    for path in those("written"):
        path.write_bytes(case.picture(0.03))
    (case.root / "male" / "new.png").write_bytes(case.picture(0.03))


def test_a_dry_run_counts_exactly_what_the_run_would_do(case: Case) -> None:
    kinds = ("left", "judged", "corrected", "renamed", "by_hand", "back", "written")
    for kind, p_male in itertools.product(kinds, (0.97, 0.91, 0.85, 0.5)):
        case.drop(f"{p_male}/{kind}.png", case.picture(p_male))
    case.run("run", "--once")
    lies = {row["original_path"].removeprefix("inbox/"): case.root / row["path"]
            for row in build.rows(case.root)}  # fmt: skip

    # The newest result of what lies in male/ is not the current one, of corrected files neither.
    case.run("reprocess", str(case.root / "male"), min_confidence=0.95)
    corrected = [str(path) for name, path in lies.items() if name.endswith("/corrected.png")]
    case.run("correct", *corrected, "female")
    put_by_hand(case, lies)

    def rows() -> list[list[dict[str, Any]]]:
        tables = ("files", "results", "corrections", "moves", "changes")
        return [build.query(case.root, f"SELECT * FROM {name} ORDER BY id") for name in tables]

    def told(*words: str) -> dict[str, Any]:
        run = case.run("reprocess", str(case.root), "--json", *words, min_confidence=0.95)
        answer: dict[str, Any] = json.loads(run.answer())
        return {**answer, "files": sorted(answer["files"], key=lambda each: str(each["path"]))}

    before = rows(), build.contents(case.root)
    foretold = told("--dry-run")
    assert (rows(), build.contents(case.root)) == before
    done = told("--move")
    assert foretold == done
    assert done["corrected"] == 8  # by command, and by hand
    after = told("--dry-run")
    assert (after["changed"], after["unchanged"], after["files"]) == ({}, 0, [])
