"""The oracle on trees that are right, and on trees that are wrong in one way each."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.build import sha256
from tests.faults import oracle, toy
from tests.faults.oracle import Dropped, Evidence
from tests.faults.toy import Answer


@dataclass
class Scene:
    """A root by hand, as gdwatch would leave it, and the evidence of it."""

    root: Path
    dropped: list[Dropped] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("inbox", *oracle.OUTCOMES, "../beside"):
            (self.root / name).mkdir(parents=True)
        (self.root / "../beside/canary").write_text("mine")
        (self.root / "male/theirs.png").write_text("put here by a person")
        self.database = self.root / "results.db"
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            connection.executescript("PRAGMA synchronous = OFF;" + _LEDGER)
        self.before = self.look()

    def look(self) -> dict[bytes, oracle.Thing]:
        return oracle.look(self.root, self.root.parent / "beside")

    def add(self, name: str, content: bytes) -> Path:
        """A file that was dropped, recorded and filed."""
        answer = toy.answer_of(content)
        assert answer is not None
        path = self.root / answer.outcome / name
        path.write_bytes(content)
        status = path.stat()
        self.dropped.append(
            Dropped(os.fsencode(self.root / "inbox" / name), sha256(content), status.st_size,
                    status.st_mtime_ns, answer)
        )  # fmt: skip
        number = len(self.dropped)
        self.ledger(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, NULL, 'filed', ?, ?, 1, 1)",
            number, sha256(content), status.st_size, status.st_mtime_ns, f"inbox/{name}",
            f"{answer.outcome}/{name}", answer.outcome, answer.reason,
        )  # fmt: skip
        self.ledger("INSERT INTO results VALUES (NULL, ?, 1, ?, ?, ?)",
                    number, answer.outcome, answer.label, answer.p_male)  # fmt: skip
        return path

    def ledger(self, statement: str, *values: Any) -> None:
        with contextlib.closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(statement, values)

    def wrongs(self, **others: Any) -> set[tuple[str, int]]:
        """Invariant and check of everything that the oracle finds wrong."""
        evidence = Evidence(**{
            "root": self.root, "inbox": self.root / "inbox", "database": self.database,
            "dropped": self.dropped, "before": self.before, "after": self.look(),
            "beside": [self.root.parent / "beside"], "model_sha256": ["m0del"],
            **self.evidence, **others,
        })  # fmt: skip
        return {(each.invariant, each.check) for each in oracle.judge(evidence)}


_LEDGER = """
CREATE TABLE roots (id INTEGER PRIMARY KEY, path TEXT);
CREATE TABLE models (id INTEGER PRIMARY KEY, sha256 TEXT);
CREATE TABLE files (id INTEGER PRIMARY KEY, sha256 TEXT, size_bytes INTEGER, modified_ns INTEGER,
  original_path TEXT, path TEXT, source_path TEXT, state TEXT, outcome TEXT, reason TEXT,
  model_id INTEGER REFERENCES models (id), root_id INTEGER REFERENCES roots (id));
CREATE TABLE results (id INTEGER PRIMARY KEY, file_id INTEGER, model_id INTEGER,
  outcome TEXT, label TEXT, p_male REAL);
CREATE TABLE corrections (id INTEGER PRIMARY KEY, file_id INTEGER, label TEXT);
INSERT INTO models VALUES (1, 'm0del');
INSERT INTO roots VALUES (1, 'root');
"""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path / "root")
    scene.add("a.png", toy.picture(1, 0.97))
    scene.add("b.png", toy.picture(2, 0.03))
    scene.add("c.png", toy.picture(3, 0.5))
    return scene


def test_nothing_is_wrong_with_a_root_that_is_right(scene: Scene) -> None:
    assert scene.wrongs() == set()


def removed(scene: Scene) -> None:
    (scene.root / "male/a.png").unlink()


def doubled(scene: Scene) -> None:
    shutil.copy2(scene.root / "male/a.png", scene.root / "male/a~1.png")


def cut_short(scene: Scene) -> None:
    os.truncate(scene.root / "male/a.png", 10)


def overwritten(scene: Scene) -> None:
    (scene.root / "male/theirs.png").write_text("other bytes in its place")


def replaced_by_its_like(scene: Scene) -> None:
    path = scene.root / "male/theirs.png"
    content = path.read_bytes()
    path.unlink()
    (scene.root / "male/spacer").write_text("takes the inode")
    path.write_bytes(content)
    (scene.root / "male/spacer").unlink()


def recorded_twice(scene: Scene) -> None:
    scene.ledger("INSERT INTO files SELECT 9, sha256, size_bytes, modified_ns, original_path, path,"
                 " NULL, 'missing', outcome, reason, model_id, root_id FROM files"
                 " WHERE id = 1")  # fmt: skip


def never_recorded(scene: Scene) -> None:
    scene.ledger("DELETE FROM files WHERE id = 1")


def filed_elsewhere(scene: Scene) -> None:
    scene.ledger("UPDATE files SET path = 'male/z.png' WHERE id = 1")


def renamed(scene: Scene) -> None:
    (scene.root / "male/a.png").rename(scene.root / "male/other.png")
    scene.ledger("UPDATE files SET path = 'male/other.png' WHERE id = 1")


def of_another_folder(scene: Scene) -> None:
    scene.ledger("UPDATE files SET outcome = 'female' WHERE id = 1")


def claimed_twice(scene: Scene) -> None:
    scene.ledger("UPDATE files SET path = (SELECT path FROM files WHERE id = 1), outcome = 'male'"
                 " WHERE id = 2")  # fmt: skip


def left_in_the_inbox(scene: Scene) -> None:
    (scene.root / "male/a.png").rename(scene.root / "inbox/a.png")


def canary_changed(scene: Scene) -> None:
    (scene.root.parent / "beside/canary").write_text("ours")


def made_beside(scene: Scene) -> None:
    (scene.root.parent / "beside/new").mkdir()


def left_half_done(scene: Scene) -> None:
    scene.ledger("UPDATE files SET state = 'recorded', source_path = 'inbox/a.png' WHERE id = 1")


def part_left_behind(scene: Scene) -> None:
    (scene.root / "male/.gdwatch-1.part").write_bytes(toy.picture(1, 0.97))


def torn_database(scene: Scene) -> None:
    content = bytearray(scene.database.read_bytes())
    content[4096:8192] = bytes(4096)
    scene.database.write_bytes(content)


def strange_reference(scene: Scene) -> None:
    scene.ledger("UPDATE files SET model_id = 7 WHERE id = 1")


def unheard_of_event(scene: Scene) -> None:
    scene.evidence["log"] = ['{"event": "file.eaten", "level": "info", "timestamp": "now"}']


def line_forged(scene: Scene) -> None:
    scene.evidence["log"] = ["a name that broke a line"]


def wrong_status(scene: Scene) -> None:
    scene.evidence["statuses"] = [(0, (0,)), (1, (0, 75))]


def not_at_rest(scene: Scene) -> None:
    scene.evidence["rows_again"] = []


def moved_again(scene: Scene) -> None:
    scene.evidence["again"] = {}


def wrong_folder(scene: Scene) -> None:
    (scene.root / "male/a.png").rename(scene.root / "female/a.png")
    scene.ledger("UPDATE files SET path = 'female/a.png', outcome = 'female' WHERE id = 1")


def wrong_score(scene: Scene) -> None:
    scene.ledger("UPDATE results SET p_male = 0.971 WHERE file_id = 1")


def wrong_label(scene: Scene) -> None:
    scene.ledger("UPDATE results SET label = 'female' WHERE file_id = 3")


def wrong_reason(scene: Scene) -> None:
    scene.ledger("UPDATE files SET reason = 'blurred' WHERE id = 3")


def no_result(scene: Scene) -> None:
    scene.ledger("DELETE FROM results WHERE file_id = 1")


def another_model(scene: Scene) -> None:
    scene.ledger("UPDATE models SET sha256 = 'other'")


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (removed, ("I1", 1)), (doubled, ("I1", 1)), (cut_short, ("I1", 1)),
        (overwritten, ("I5", 1)), (replaced_by_its_like, ("I5", 1)),
        (recorded_twice, ("I2", 2)), (never_recorded, ("I2", 2)), (never_recorded, ("I3", 3)),
        (removed, ("I4", 3)), (cut_short, ("I4", 3)), (filed_elsewhere, ("I4", 3)),
        (renamed, ("I4", 3)), (of_another_folder, ("I4", 3)), (claimed_twice, ("I4", 3)),
        (doubled, ("I3", 3)), (canary_changed, ("I6", 5)), (made_beside, ("I6", 5)),
        (left_half_done, ("I8", 6)), (part_left_behind, ("I5", 6)), (torn_database, ("I2", 6)),
        (strange_reference, ("I2", 6)), (unheard_of_event, ("I8", 6)), (line_forged, ("I8", 6)),
        (wrong_status, ("I8", 6)), (left_in_the_inbox, ("I8", 7)), (not_at_rest, ("I2", 7)),
        (moved_again, ("I2", 7)), (wrong_folder, ("I9", 8)), (wrong_score, ("I9", 8)),
        (wrong_label, ("I9", 8)), (wrong_reason, ("I9", 8)), (no_result, ("I9", 8)),
        (another_model, ("I9", 8)),
    ],
)  # fmt: skip
def test_a_root_that_is_wrong_is_found_out(
    scene: Scene, spoil: Callable[[Scene], None], wrong: tuple[str, int]
) -> None:
    spoil(scene)
    assert wrong in scene.wrongs()


def test_a_file_that_is_nowhere_counts_as_lost_and_a_row_too_many_as_twice(scene: Scene) -> None:
    removed(scene)
    recorded_twice(scene)
    evidence = Evidence(scene.root, scene.root / "inbox", scene.database, scene.dropped,
                        scene.before, scene.look())  # fmt: skip
    kinds = {each.kind for each in oracle.judge(evidence)}
    assert kinds == {"lost", "twice", ""}


# ------------------------------------------------------------------------- in the middle


def test_just_after_a_fault_a_file_may_still_be_on_its_way(scene: Scene) -> None:
    left_half_done(scene)
    left_in_the_inbox(scene)
    assert scene.wrongs(rest=False) == set()


def test_just_after_a_fault_a_copy_may_be_beside_its_source(scene: Scene) -> None:
    left_half_done(scene)
    shutil.copy2(scene.root / "male/a.png", scene.root / "inbox/a.png")
    assert scene.wrongs(rest=False) == set()
    shutil.copy2(scene.root / "male/a.png", scene.root / "inbox/third.png")
    assert ("I1", 1) in scene.wrongs(rest=False)


def test_a_recorded_file_that_is_nowhere_is_lost_at_any_moment(scene: Scene) -> None:
    left_half_done(scene)
    removed(scene)
    assert ("I1", 3) in scene.wrongs(rest=False)


# ------------------------------------------------------------------------- what scenarios say


def test_a_file_that_waits_or_was_taken_away_is_not_missed(scene: Scene) -> None:
    (scene.root / "inbox/waits.png").write_bytes(b"waits")
    status = (scene.root / "inbox/waits.png").stat()
    scene.dropped.append(
        Dropped(os.fsencode(scene.root / "inbox/waits.png"), sha256(b"waits"), 5,
                status.st_mtime_ns, ends="waiting")
    )  # fmt: skip
    removed(scene)
    scene.dropped[0] = replace(scene.dropped[0], ends="taken")
    assert scene.wrongs() == set()


def test_a_correction_counts_more_than_the_model(scene: Scene) -> None:
    wrong_folder(scene)
    scene.ledger("INSERT INTO corrections VALUES (1, 1, 'female')")
    assert scene.wrongs() == set()


def test_a_name_gets_the_id_of_its_row_and_no_other(scene: Scene) -> None:
    (scene.root / "male/a.png").rename(scene.root / "male/a~1.png")
    scene.ledger("UPDATE files SET path = 'male/a~1.png' WHERE id = 1")
    assert scene.wrongs() == set()
    (scene.root / "male/a~1.png").rename(scene.root / "male/a~2.png")
    scene.ledger("UPDATE files SET path = 'male/a~2.png' WHERE id = 1")
    assert scene.wrongs() == {("I4", 3)}


# ------------------------------------------------------------------------- the order of steps

_SOURCE, _TARGET, _ROW = "/r/inbox/a", "/r/male/a", {"id": 1, "sha256": "s"}


def commit(state: str, *, durable: bool = True) -> dict[str, Any]:
    source = _SOURCE if state == "recorded" else None
    row = {**_ROW, "state": state, "source": source, "target": _TARGET}
    return {"op": "commit", "durable": durable, "rows": [row]}


def folder(path: str) -> dict[str, Any]:
    return {"op": "sync_folder", "path": path}


SYNC: dict[str, Any] = {"op": "sync", "inode": 1}
MOVE: dict[str, Any] = {"op": "move", "source": _SOURCE, "target": _TARGET, "inode": 1}
COPY: dict[str, Any] = {**MOVE, "op": "copy", "inode": 2, "synced": True}
UNLINK: dict[str, Any] = {"op": "unlink", "path": _SOURCE}
MALE, INBOX = folder("/r/male"), folder("/r/inbox")
MOVED = [SYNC, commit("recorded"), MOVE, MALE, INBOX, commit("filed")]
COPIED = [SYNC, commit("recorded"), COPY, MALE, UNLINK, INBOX, commit("filed")]


def order(trace: list[dict[str, Any]]) -> set[str]:
    evidence = Evidence(Path("/r"), Path("/r/inbox"), Path("/r/none.db"), [], {}, {}, trace=trace)
    return {each.invariant for each in oracle.judge(evidence) if each.check == 4}


@pytest.mark.parametrize("trace", [MOVED, COPIED])
def test_steps_in_their_order_are_right(trace: list[dict[str, Any]]) -> None:
    assert order(trace) == set()


def without(trace: list[dict[str, Any]], step: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [each for each in trace if each != step]


@pytest.mark.parametrize(
    ("trace", "invariant"),
    [
        ([SYNC, MOVE, commit("recorded"), MALE, INBOX, commit("filed")], "I3"),
        ([SYNC, MOVE, MALE, INBOX, commit("filed")], "I3"),
        ([SYNC, commit("recorded", durable=False), *MOVED[2:]], "I3"),
        (without(MOVED, SYNC), "I4"),
        (without(MOVED, MALE), "I4"),
        (without(MOVED, INBOX), "I4"),
        ([SYNC, commit("recorded"), MOVE, INBOX, MALE, commit("filed")], "I1"),
        ([SYNC, commit("recorded"), MOVE, commit("filed"), MALE, INBOX], "I4"),
        ([SYNC, commit("recorded"), {**COPY, "synced": False}, *COPIED[3:]], "I4"),
        ([SYNC, commit("recorded"), COPY, UNLINK, MALE, INBOX, commit("filed")], "I1"),
        (without(COPIED, INBOX), "I4"),
        (without(COPIED, MALE), "I1"),
    ],
)
def test_steps_out_of_their_order_are_found_out(
    trace: list[dict[str, Any]], invariant: str
) -> None:
    assert invariant in order(trace)


# ------------------------------------------------------------------------- the toy model


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("side", [32, 64])
def test_a_picture_says_its_own_answer_in_every_format(format_: str, side: int) -> None:
    for serial, p_male in ((0, 0.0), (1, 0.5), (2**32 - 1, 1.0), (77, 0.123)):
        answer = toy.answer_of(toy.picture(serial, p_male, format_, side))
        assert answer is not None
        assert answer.p_male == p_male


def test_what_is_no_picture_of_the_toy_model_has_no_answer() -> None:
    assert toy.answer_of(b"no picture") is None
    assert toy.answer_to(0.95) == Answer("male", None, "male", 0.95)
    assert toy.answer_to(0.2) == Answer("unsure", "low_confidence", "female", 0.2)
