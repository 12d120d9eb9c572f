"""The oracle finds every mistake of `mutants`, and none where there is none."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import build
from tests.faults import corpus, oracle, toy
from tests.faults.case import Case, Wrong
from tests.faults.dying_worker import marked
from tests.faults.launch import DEADLINE_S, Fault, Run, call
from tests.faults.mutants import MUTANTS
from tests.faults.surroundings import ready
from tests.faults.tally import SCENARIOS
from tests.faults.toy import Answer

DYING = [call("tests.faults.dying_worker:start")]
EXDEV = Fault("C7.rename", do=("EXDEV",), until=None)


def patience_s(case: Case) -> float:
    """How long to wait for the product; a mistake that waits for ever has shown it sooner."""
    return 5.0 if case.mutant else DEADLINE_S


def ends(run: Run, has_shown_it: Callable[[], bool]) -> None:
    """Wait until a run ends, and end it once it has shown that it will not."""
    end = time.monotonic() + DEADLINE_S
    while run.status is None and not has_shown_it():
        assert time.monotonic() < end, run.text()
        run.ends_within(0.05)
    if run.status is None:
        run.kill()


def serves(case: Case, run: Run) -> None:
    """Give a service the time to file all that was dropped, stop it, and ask the oracle."""
    with contextlib.suppress(AssertionError):  # what is missing is the oracle's to say
        case.wait_until_filed(run, patience_s(case))
    run.send(signal.SIGTERM)
    run.wait()
    case.judge()


# ------------------------------------------------------------------------- scenarios


def traced(case: Case, *faults: Fault) -> None:
    """Every step in its order."""
    case.settings["batch_size"] = 3
    case.drop_mixture(6)
    trace = case.folder / "trace"
    recorder = call("tests.faults.recorder:start", trace=str(trace), root=str(case.root))
    case.run("run", "--once", before=[recorder], faults=faults)
    case.judge(trace=[json.loads(line) for line in trace.read_text().splitlines()])


def traced_copy(case: Case) -> None:
    traced(case, EXDEV)


def killed_before_commit(case: Case) -> None:
    case.drop_mixture(6)
    case.run("run", "--once", faults=[Fault("C6.results", "after")], allowed=(-9,))
    case.look_after_fault()
    case.finish()


def killed_after_record(case: Case) -> None:
    case.drop("a.png")
    case.run("run", "--once", faults=[Fault("C6.record", "after")], allowed=(-9,))
    case.finish()


def same_name(case: Case, what: str, at: str) -> None:
    """A person takes the name at the last moment."""
    path = case.drop("a.png", case.picture(0.97))
    target = case.root / "male" / "a.png"
    theirs = path.read_bytes() if what == "copy_there" else b"mine"
    source = {"path": str(path)} if what == "copy_there" else {}
    act = call(f"tests.faults.acts:{what}", target=str(target), **source)
    case.run("run", "--once", faults=[Fault(at, do=(act,))])
    kept = case.look().get(os.fsencode(target))
    was = oracle.Thing("file", build.sha256(theirs), len(theirs))
    case.before[os.fsencode(target)] = kept if kept and kept.sha256 == was.sha256 else was
    case.finish()


def name_taken(case: Case) -> None:
    same_name(case, "put_there", "C7.rename")


def name_taken_by_a_copy(case: Case) -> None:
    same_name(case, "copy_there", "C7.move")


def name_taken_after_the_check(case: Case) -> None:
    same_name(case, "put_there", "gdwatch.filing.renaming:os.rename")


def written_while_it_moves(case: Case) -> None:
    path = case.drop("a.png", case.picture(0.97))
    late = Answer("unsure", "changed_late")
    act = call("tests.faults.acts:write", path=str(path), how="append")
    case.run("run", "--once", faults=[Fault("C7.rename", do=(act,))])
    (lies,) = [thing for place, thing in case.look().items() if place.endswith(b"/a.png")]
    case.change(0, sha256=lies.sha256, size=lies.size, mtime_ns=lies.mtime_ns, answer=late)
    case.judge()


def content_twice(case: Case) -> None:
    content = case.picture(0.97)
    case.drop("a.png", content)
    case.run("run", "--once")
    case.drop("b.png", content)
    case.finish()


def disk_that_spoils(case: Case) -> None:
    case.drop("a.png")
    spoilt = [call("tests.faults.acts:spoil_writes")]
    case.run("run", "--once", faults=[EXDEV], before=spoilt, allowed=(0, 1))
    case.finish()


def written_in_place(case: Case) -> None:
    """A writer who has reserved the space first, and fills it piece by piece, one at each look."""
    content, path = case.picture(0.97), case.inbox / "slow.png"
    whole = case.folder / "whole.png"
    whole.write_bytes(content)
    path.write_bytes(bytes(len(content)))
    act = call("tests.faults.acts:write_a_piece", path=str(path), whole=str(whole))
    case.run("run", "--once", settle_ms=50, faults=[Fault("C1.list", do=(act,), until=40)])
    judge_slow(case, path, whole)


def completed_in_rejected(case: Case) -> None:
    half = case.drop_half("slow.png", case.picture(0.97))
    case.run("run", "--once")
    case.complete(half)
    case.finish()


def clock_set_forward(case: Case) -> None:
    """By a year, while a writer rests between the first half of a file and the second."""
    content, path = case.picture(0.97), case.inbox / "slow.png"
    whole = case.folder / "whole.png"
    whole.write_bytes(content)
    path.write_bytes(content[: len(content) // 2])
    jump = call("tests.faults.acts:set_clock_forward")
    write = call("tests.faults.acts:write_rest", path=str(path), whole=str(whole))
    faults = [Fault("C1.list", "after", 1, (jump,)), Fault("C1.list", "before", 3, (write,))]
    case.run("run", "--once", settle_ms=3000, faults=faults)
    judge_slow(case, path, whole)


def judge_slow(case: Case, path: Path, whole: Path) -> None:
    """Ask the oracle about the one file of a slow writer."""
    (lies,) = [thing for place, thing in case.look().items() if place.endswith(b"/slow.png")]
    case.note(whole, Answer("male", None, "male", 0.97))
    case.change(0, path=os.fsencode(path), mtime_ns=lies.mtime_ns)
    case.judge()


def bad_model_at_hangup(case: Case) -> None:
    path = build.model_file(case.folder / "m.safetensors")
    case.settings["model"] = path
    run = case.start("run")
    case.drop("a.png")
    case.wait_until_filed(run)
    build.model_file(path, recipe={"stub": "refuse"})
    run.send(signal.SIGHUP)
    end = time.monotonic() + 30
    while run.status is None and not (run.events("model.refused") or run.events("service.paused")):
        assert time.monotonic() < end, run.text()
        run.ends_within(0.05)
    case.drop("b.png")
    serves(case, run)


def engine_that_dies(case: Case) -> None:
    case.settings["model"] = build.model_file(
        case.folder / "m.safetensors", recipe={"stub": "die_on_batch"}
    )
    case.drop("a.png", ends="waiting")
    run = case.start("run", allowed=(1,))
    ends(run, lambda: len(run.events("engine.restarted")) >= 5)
    log = [line for line in run.lines() if not line.startswith("{") or "event" in line]
    case.judge(log=log)


def second_service(case: Case) -> None:
    first = case.start("run")
    case.drop("a.png")
    case.wait_until_filed(first)
    case.run("run", "--once", allowed=(75,))
    first.send(signal.SIGTERM)
    first.wait()
    case.judge()


def workers_hold_no_lock(case: Case) -> None:
    run = case.start("run")
    case.drop("a.png")
    case.wait_until_filed(run)
    for pid in build.children(run.pid):
        for held in Path(f"/proc/{pid}/fd").iterdir():
            assert not str(held.readlink()).endswith("/.gdwatch/lock")
    run.send(signal.SIGTERM)
    run.wait()
    case.judge()


def deaf(case: Case, act: str) -> None:
    """No event comes, and none but the first listing is due."""
    run = ready(case, before=[call(f"tests.faults.acts:{act}")], rescan_s=86_400)
    case.drop("a.png")
    serves(case, run)


def events_lost(case: Case) -> None:
    deaf(case, "lose_events")


def emitter_that_ends(case: Case) -> None:
    deaf(case, "end_first_emitter")


def links(case: Case) -> None:
    (case.inbox / "link.png").symlink_to(case.beside / "canary.png")
    (case.inbox / "folder").symlink_to(case.beside)
    case.drop("a.png")
    case.run("run", "--once")
    case.judge()


def folder_swapped(case: Case) -> None:
    """A link to another place stands in the middle of a path, in the moment before the move."""
    folder = case.root / "male" / "wedding"
    folder.mkdir()
    case.drop("wedding/church/a.png", case.picture(0.97))
    places = {"path": folder, "aside": case.folder / "taken", "far": case.beside}
    act = call("tests.faults.acts:swap", **{name: str(path) for name, path in places.items()})
    case.run("run", "--once", faults=[Fault("C7.move", do=(act,))])
    case.judge()


def fifo_at_the_last_moment(case: Case) -> None:
    case.before = case.look()
    place = case.inbox / "a.png"
    place.write_bytes(case.picture())
    case.drop("b.png")
    act = call("tests.faults.acts:put_fifo", path=str(place))
    run = case.start("run", "--once", faults=[Fault("C3.open", do=(act,))])
    if not run.ends_within(patience_s(case)):
        run.kill()
    case.judge()


def bombs(case: Case) -> None:
    case.settings["max_pixels"] = 10_000
    too_many = Answer("rejected", "too_many_pixels")
    case.drop("promised.png", corpus.png_header(14_000, 14_000), too_many)
    case.drop("there.png", corpus.flat(101, 100), too_many)
    case.run("run", "--once")
    case.judge()


def name_that_is_no_text(case: Case) -> None:
    case.drop(b"\xff\xfe.png")
    case.run("run", "--once")
    case.judge()


def ledger_locked(case: Case) -> None:
    case.drop("a.png")
    lock = call("tests.faults.acts:lock_ledger", path=str(case.root / "results.db"))
    unlock = call("tests.faults.acts:unlock_ledger")
    case.run(
        "run", "--once", before=[call("tests.faults.acts:wait_for_no_lock")],
        faults=[Fault("C6.record", do=(lock,)),
                Fault("gdwatch.service.pause:PauseState._sleep", do=(unlock,))],
    )  # fmt: skip
    case.judge()


def ledger_removed(case: Case) -> None:
    case.drop("a.png", ends="waiting")
    act = call("tests.faults.acts:remove", path=str(case.root / "results.db"))
    case.run("run", "--once", faults=[Fault("C6.record", do=(act,))], allowed=(78,))
    case.judge()


def unreadable(case: Case) -> None:
    content = case.picture()
    case.drop("a.png", marked(content, "unreadable"), toy.answer_of(content), ends="waiting")
    case.drop("b.png")
    case.run("run", "--once", before=DYING, allowed=(1,))
    case.judge()


def poison(case: Case) -> None:
    case.drop("a.png", marked(case.picture(), "SIGKILL"), Answer("rejected", "decoder_crashed"))
    case.drop("b.png")
    run = case.start("run", "--once", before=DYING)
    ends(run, lambda: len(run.events("worker.died")) > 3)
    case.judge()


def killed_while_decoding(case: Case) -> None:
    case.drop("a.png")
    for _ in range(2):
        case.run("run", "--once", faults=[Fault("C4.decoded")], allowed=(-9,))
    case.finish()


def words_of_a_person(case: Case) -> None:
    """By hand and by command; judged again by other rules; and the command taken back."""
    for number in range(4):
        case.drop(f"{number}.png", case.picture(0.97))
    case.run("run", "--once")
    case.run("correct", "1", "2", "female")
    (path,) = [row["path"] for row in case.rows() if row["id"] == 3]
    (case.root / path).rename(case.root / "unsure" / "mine.png")
    case.run("reprocess", case.root, min_confidence=0.6)
    asked = "SELECT id, outcome, corrected FROM current_results ORDER BY id"
    said = [tuple(row.values()) for row in build.query(case.root, asked)]
    by_hand, untouched = (3, "unsure", "neither"), (4, "male", None)
    assert said == [(1, "female", "female"), (2, "female", "female"), by_hand, untouched]
    assert build.query(case.root, "SELECT count(*) AS n FROM results") == [{"n": 8}]
    case.run("undo")
    said = [tuple(row.values()) for row in build.query(case.root, asked)]
    # What the command had only noticed is the person's: it is not taken back.
    assert said == [(1, "male", None), (2, "male", None), by_hand, untouched]
    assert len([path for path in build.contents(case.root) if path.startswith("male/")]) == 3


def originals_stay(case: Case) -> None:
    """Copied, with a kill before they are remembered; one is changed; another is put back."""
    case.settings["mode"] = "copy"
    paths = [case.drop(f"{number}.png", case.picture(0.97)) for number in range(3)]
    case.run("run", "--once", faults=[Fault("C9.remember", may_miss=True)], allowed=(0, -9))
    case.run("run", "--once")
    case.run("run", "--once")
    case.judged = True  # the oracle knows files under one name only
    assert all(path.exists() for path in paths)
    assert len(case.rows()) == 3
    paths[0].write_bytes(case.picture(0.97))
    case.run("run", "--once")
    assert len(case.rows()) == 4
    paths[1].unlink()
    name = call("tests.faults.acts:put_there", target=str(paths[1]))
    fault = Fault("C7.rename", do=(name,), may_miss=True)
    case.run("restore", "2", faults=[fault], allowed=(1,))
    assert {row["state"] for row in case.rows()} == {"filed"}
    assert paths[1].read_bytes() == b"mine"
    paths[1].unlink()
    case.run("restore", "2")
    case.run("run", "--once")
    assert paths[1].exists()
    assert len(case.rows()) == 4


def shared_ledger(case: Case) -> Case:
    """A second root on the ledger of the first, which has filed nothing as yet."""
    case.shared = case.folder / "shared.db"
    case.settings["database"] = f"sqlite:///{case.shared}"
    other = case.another(case.folder / "other")
    other.shared, other.mutant, other._notes = case.shared, case.mutant, case._notes
    case.run("run", "--once")
    return other


def beside_another_root(case: Case) -> None:
    """The same name and bytes in both; one is killed, and the other one runs meanwhile."""
    other, content = shared_ledger(case), case.picture(0.97)
    other.run("db", "join")
    for each in (case, other):
        each.drop("a.png", content)
    case.run("run", "--once", faults=[Fault("C6.record", "after")], allowed=(-9,))
    other.run("run", "--once")
    case.finish()
    other.finish()
    found = oracle.read_ledger(other.database, other.root).files
    assert [row["duplicate_of"] for row in found] == [None]


def wrong_database(case: Case) -> None:
    case.drop("a.png")
    other = shared_ledger(case)
    wrong = other.settings.pop("database")
    other.run("run", "--once")  # on a ledger of its own
    other.settings["database"] = wrong
    other.drop("b.png", ends="waiting")
    assert other.run("run", "--once", allowed=(78,)).status == 78
    case.judge()


# The mistake, the scenario that finds it, and the invariant that the oracle names; None where
# the scenario itself does.
Row = tuple[str, Callable[[Case], None], str | None]
TABLE: list[Row] = [
    ("move_before_record", traced, "I3"),
    ("move_before_record", killed_before_commit, "I3"),
    ("one_commit_after_the_move", traced, "I3"),
    ("one_commit_after_the_move", killed_before_commit, "I3"),
    ("filed_before_sync", traced, "I4"),
    ("inbox_synced_first", traced, "I1"),
    ("no_folder_synced", traced, "I4"),
    ("no_source_synced", traced, "I4"),
    ("synchronous_normal", traced, "I3"),
    ("synchronous_off", traced, "I3"),
    ("copy_not_synced", traced_copy, "I4"),
    ("source_removed_before_copy_is_durable", traced_copy, "I1"),
    ("copy_not_verified", disk_that_spoils, "I1"),
    ("plain_rename", name_taken, "I5"),
    ("check_then_rename", name_taken_after_the_check, "I5"),
    ("shutil_move", name_taken, "I5"),
    ("late_change_ignored", written_while_it_moves, "I4"),
    ("links_followed", links, "I6"),
    ("links_followed", folder_swapped, "I6"),
    ("opened_without_nonblock", fifo_at_the_last_moment, "I8"),
    ("path_resolved_again", folder_swapped, "I6"),
    ("recovery_skipped", killed_after_record, "I8"),
    ("recovery_decides_again", killed_after_record, "I2"),
    ("recovery_trusts_an_equal_hash", name_taken_by_a_copy, "I1"),
    ("second_row_of_a_content_dropped", content_twice, "I2"),
    ("lock_not_held", second_service, "I8"),
    ("lock_inherited_by_workers", workers_hold_no_lock, None),
    ("model_swapped_before_its_test", bad_model_at_hangup, "I8"),
    ("engine_started_for_ever", engine_that_dies, "I8"),
    ("settles_by_size_only", written_in_place, "I1"),
    ("completed_file_left", completed_in_rejected, "I4"),
    ("completed_file_keeps_its_old_hash", completed_in_rejected, "I4"),
    ("settles_by_wall_clock", clock_set_forward, "I9"),
    ("overflow_ignored", events_lost, "I8"),
    ("dead_emitter_ignored", emitter_that_ends, "I8"),
    ("unreadable_file_rejected", unreadable, "I2"),
    ("killed_service_rejects", killed_while_decoding, "I9"),
    ("poison_tried_for_ever", poison, "I8"),
    ("bombs_decoded", bombs, "I9"),
    ("names_decoded_with_replacements", name_that_is_no_text, "I2"),
    ("locked_ledger_ignored", ledger_locked, "I8"),
    ("another_ledger_ignored", ledger_removed, "I3"),
    ("hand_move_taken_for_a_drop", words_of_a_person, None),
    ("correction_lost", words_of_a_person, None),
    ("decision_overwritten", words_of_a_person, None),
    ("undo_that_undoes_half", words_of_a_person, None),
    ("original_moved", originals_stay, None),
    ("original_forgotten", originals_stay, None),
    ("original_known_by_its_inode_alone", originals_stay, None),
    ("restore_forgets_what_it_could_not_do", originals_stay, None),
    ("rows_of_every_root_moved", beside_another_root, "I2"),
    ("bytes_of_every_root_known", beside_another_root, None),
    ("wrong_ledger_taken", wrong_database, None),
]


def sample(table: Sequence[Row]) -> list[Row]:
    """The rows that the quick form runs; the long form runs them all.

    A row is left out if rows before it have its number on the page of faults, its scenario and its
    invariant already. So each of these is there at least once, and the same rows run every time.
    """
    seen: set[object] = set()
    chosen = []
    for mutant, scenario, invariant in table:
        shown = {MUTANTS[mutant].scenario, scenario, invariant}
        if not shown <= seen:
            chosen.append((mutant, scenario, invariant))
        seen |= shown
    return chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.function is test_a_mistake_is_found:
        rows = TABLE if metafunc.config.getoption("--long") else sample(TABLE)
        ids = [f"{MUTANTS[row[0]].scenario}-{row[0]}-{row[1].__name__}" for row in rows]
        metafunc.parametrize(("mutant", "scenario", "invariant"), rows, ids=ids)


def test_the_table_has_every_mistake_and_each_its_scenario() -> None:
    assert {name for name, _, _ in TABLE} == MUTANTS.keys()
    assert {mutant.scenario for mutant in MUTANTS.values()} <= SCENARIOS.keys()


_SCENARIOS = dict.fromkeys(scenario for _, scenario, _ in TABLE)


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_without_a_mistake_nothing_is_found(case: Case, scenario: Callable[[Case], None]) -> None:
    if scenario is name_taken_after_the_check:
        pytest.skip("there is no such moment in a program that does not check first")
    scenario(case)


def test_a_mistake_is_found(
    case: Case, mutant: str, scenario: Callable[[Case], None], invariant: str | None
) -> None:
    case.mutant = mutant
    with pytest.raises(AssertionError) as found:
        scenario(case)
    case.require_mistake()
    if invariant is None:
        assert not isinstance(found.value, Wrong), found.value
    else:
        assert isinstance(found.value, Wrong), found.value
        assert invariant in {each.invariant for each in found.value.violations}, found.value
