import contextlib
import errno
import os
import re
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.pipeline import engine_client
from gdwatch.pipeline.drain import drain
from gdwatch.pipeline.engine_client import Engine
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.pipeline.task import Task
from gdwatch.processes.child import Child
from gdwatch.processes.messages import Packet
from gdwatch.values import Judged, Opened, Photo
from tests import build
from tests.build import BRIGHT, DARK, photograph

LEVELS = {"male": BRIGHT, "female": DARK}


@pytest.fixture(scope="module")
def pipeline(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """One worker and one engine, for every test that does not end them for good."""
    made = ready(start(model, tmp_path_factory.mktemp("root")))
    yield made
    made.close()


def start(model: Path, root: Path, **others: object) -> Pipeline:
    given = {"model": str(model), "workers": 1, "batch_size": 4, "device": "cpu", **others}
    return Pipeline(build.make_settings(root, **given))


def ready(pipeline: Pipeline) -> Pipeline:
    turn_until(pipeline, lambda: pipeline.ready)
    return pipeline


def turn_until(pipeline: Pipeline, condition: Callable[[], bool]) -> list[Judged]:
    end = time.monotonic() + build.DEADLINE_S
    judged: list[Judged] = []
    while not condition():
        assert time.monotonic() < end
        for batch in pipeline.turn(0.1):
            judged += batch.judged
    return judged


@pytest.fixture
def dropped(tmp_path: Path) -> Callable[[dict[str, bytes]], list[Opened]]:
    def drop(contents: dict[str, bytes]) -> list[Opened]:
        found = []
        for name, content in contents.items():
            path = tmp_path / name
            path.write_bytes(content)
            found.append(Opened(build.drop_of(path), os.open(path, os.O_RDONLY)))
        return found

    return drop


Dropped = Callable[[dict[str, bytes]], list[Opened]]


def offer(pipeline: Pipeline, opened: list[Opened]) -> None:
    """Take photographs in, and let the workers have them."""
    for each in opened:
        pipeline.offer(each)
    pipeline._feed_workers()


def finish(pipeline: Pipeline, before: Sequence[Judged] = ()) -> list[Judged]:
    """What is still to be judged, and what was judged before."""
    judged = [*before, *turn_until(pipeline, lambda: pipeline.outstanding == 0)]
    for each in judged:
        os.close(each.opened.descriptor)
    return judged


def answers(judged: list[Judged]) -> dict[str, str]:
    return {
        os.path.basename(os.fsdecode(each.opened.drop.path)): (
            each.decision.reason or each.decision.outcome
        )
        for each in judged
    }


def some(count: int) -> dict[str, bytes]:
    return {
        f"{label}{number}": photograph(number, level)
        for number in range(count)
        for label, level in LEVELS.items()
    }


def as_named(contents: dict[str, bytes]) -> dict[str, str]:
    return {name: name.rstrip("0123456789") for name in contents}


def child(module: str) -> int:
    """The process id of the one child that runs this module, once it does."""

    def found() -> list[int]:
        return [pid for pid, name in build.children(os.getpid()).items() if name == module]

    (pid,) = build.wait_until(found, module)
    return pid


# ------------------------------------------------------------------------- what goes well


def test_every_photograph_comes_back_once_with_its_answer(
    pipeline: Pipeline, dropped: Dropped
) -> None:
    contents = some(15)
    judged = list(drain(pipeline, iter(dropped(contents))))
    sizes = [len(batch.judged) for batch in judged]
    assert sum(sizes) == len(contents)
    assert max(sizes) <= 4
    assert {batch.device for batch in judged} == {"cpu"}
    assert answers([each for batch in judged for each in batch.judged]) == as_named(contents)
    for batch in judged:
        assert batch.started_at <= batch.finished_at
        assert batch.model.name == "brightness"
        for each in batch.judged:
            name = os.path.basename(os.fsdecode(each.opened.drop.path))
            assert each.decoded.sha256 == build.sha256(contents[name])
    paths = {each.opened.drop.path for batch in judged for each in batch.judged}
    assert open_files() & paths == set()


def open_files() -> set[bytes]:
    """The paths of the files that this process has open."""
    found = set()
    for descriptor in os.listdir(b"/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the folder itself
            found.add(os.readlink(b"/proc/self/fd/" + descriptor))
    return found


def test_what_is_on_its_way_is_closed_where_nobody_asks_for_the_rest(
    model: Path, tmp_path: Path, dropped: Dropped
) -> None:
    given = dropped(some(15))
    offered: list[Opened] = []

    def one_by_one() -> Iterator[Opened]:
        for each in given:
            offered.append(each)
            yield each

    with (
        contextlib.closing(ready(start(model, tmp_path))) as pipeline,
        contextlib.closing(drain(pipeline, one_by_one())) as batches,
    ):
        next(batches)
    assert open_files() & {each.drop.path for each in offered} == set()
    for each in given[len(offered) :]:
        os.close(each.descriptor)


def test_bad_files_come_back_with_the_good_ones(pipeline: Pipeline, dropped: Dropped) -> None:
    contents = {**some(2), "cut": photograph(9)[:500], "page": b"<html>", "empty": b""}
    offer(pipeline, dropped(contents))
    judged = finish(pipeline)
    assert answers(judged) == {
        **as_named(some(2)),
        "cut": "truncated",
        "page": "not_an_image",
        "empty": "empty",
    }
    for each in judged:
        assert isinstance(each.decoded, Photo) == (each.decision.label is not None)
        assert each.decoded.sha256 is not None


def test_a_batch_of_refusals_alone_needs_no_engine(pipeline: Pipeline, dropped: Dropped) -> None:
    offer(pipeline, dropped({"page": b"<html>"}))
    batches = []
    while pipeline.outstanding:
        batches += pipeline.turn(0.1)
    assert [batch.device for batch in batches] == [None]
    os.close(batches[0].judged[0].opened.descriptor)


def test_a_file_too_large_is_refused_unread(model: Path, tmp_path: Path, dropped: Dropped) -> None:
    with Closing(start(model, tmp_path, max_bytes=10)) as pipeline:
        offer(pipeline, dropped({"large": b"more than ten bytes"}))
        (judged,) = finish(pipeline)
    assert judged.decision.reason == "too_many_bytes"
    assert judged.decoded.sha256 is None


def test_while_the_engine_is_busy_a_batch_waits_until_it_is_full(
    pipeline: Pipeline, dropped: Dropped
) -> None:
    engine = child("gdwatch.processes.engine")
    os.kill(engine, signal.SIGSTOP)
    first, *others = dropped(some(2))
    pipeline.offer(first)
    build.wait_until(lambda: pipeline.turn(0.1) or given(pipeline) == [1])
    offer(pipeline, others)
    build.wait_until(lambda: pipeline.turn(0.1) or len(pipeline._decoded) == 3)
    pipeline.turn(0.1)
    assert given(pipeline) == [1]
    os.kill(engine, signal.SIGCONT)
    batches = list(drain(pipeline, iter(())))
    assert [len(batch.judged) for batch in batches] == [1, 3]


def test_there_is_only_so_much_room(pipeline: Pipeline, dropped: Dropped) -> None:
    room = pipeline.room
    offer(pipeline, dropped(some(2)))
    assert (pipeline.outstanding, pipeline.room) == (4, room - 4)
    finish(pipeline)
    assert pipeline.room == room


# ------------------------------------------------------------------------- children that end


def test_a_worker_killed_at_work_is_replaced_and_the_file_still_judged(
    pipeline: Pipeline, dropped: Dropped
) -> None:
    first = child("gdwatch.processes.worker")
    os.kill(first, signal.SIGSTOP)  # so that it surely has the files when it dies
    contents = some(3)
    offer(pipeline, dropped(contents))
    os.kill(first, signal.SIGKILL)
    assert answers(finish(pipeline)) == as_named(contents)
    assert child("gdwatch.processes.worker") != first


def is_set_up(pid: int) -> bool:
    """Whether a worker has given up writing files, the last that it does before it is ready."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    return bool(re.search(r"^Max file size +0 ", limits, re.MULTILINE))


def test_a_file_that_ends_its_worker_twice_is_rejected_and_its_neighbours_are_judged(
    pipeline: Pipeline, dropped: Dropped
) -> None:
    contents = some(3)
    offer(pipeline, dropped({"poison": build.slow_photograph(), **contents}))
    judged = []
    for _ in range(2):
        killed = child("gdwatch.processes.worker")
        judged += turn_until(pipeline, lambda killed=killed: is_set_up(killed))
        judged += [each for batch in pipeline.turn(0.1) for each in batch.judged]
        os.kill(killed, signal.SIGKILL)
        judged += turn_until(
            pipeline, lambda killed=killed: killed not in build.children(os.getpid())
        )
    found = answers(finish(pipeline, judged))
    assert found == {**as_named(contents), "poison": "decoder_crashed"}


def test_a_worker_killed_before_it_is_ready_costs_no_file_anything(
    pipeline: Pipeline, dropped: Dropped
) -> None:
    judged = []
    for number in range(4):
        killed = child("gdwatch.processes.worker")
        os.kill(killed, signal.SIGKILL)
        if number == 0:
            offer(pipeline, dropped(some(2)))
        judged += turn_until(
            pipeline, lambda killed=killed: killed not in build.children(os.getpid())
        )
    assert answers(finish(pipeline, judged)) == as_named(some(2))


def test_files_are_shared_out_evenly_and_one_that_has_killed_is_tried_alone(
    model: Path, tmp_path: Path, dropped: Dropped
) -> None:
    contents = some(3)
    with Closing(ready(start(model, tmp_path, workers=2))) as pipeline:
        workers = pipeline._workers.workers
        first, second = (worker.child.process.pid for worker in workers)
        for pid in (first, second):
            os.kill(pid, signal.SIGSTOP)
        opened = dropped(contents)
        offer(pipeline, opened[:4])
        assert [len(worker.tasks) for worker in workers] == [2, 2]
        os.kill(first, signal.SIGKILL)
        turn_until(pipeline, lambda: workers[0].child.process.pid != first)
        os.kill(workers[0].child.process.pid, signal.SIGSTOP)
        offer(pipeline, opened[4:])
        alone, others = ([task.opened for task in worker.tasks] for worker in workers)
        assert alone == opened[:1]
        assert sorted(map(opened.index, others)) == list(range(1, 6))
        for worker in workers:
            os.kill(worker.child.process.pid, signal.SIGCONT)
        assert answers(finish(pipeline)) == as_named(contents)


def test_what_waits_together_is_sent_together(
    pipeline: Pipeline, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = Child.send

    def noted(child: Child, packet: Packet, descriptors: Sequence[int] = ()) -> None:
        sent.append(len(descriptors))
        send(child, packet, descriptors)

    monkeypatch.setattr(Child, "send", noted)
    contents = some(3)
    offer(pipeline, dropped(contents))
    assert sent == [len(contents)]
    monkeypatch.undo()
    assert answers(finish(pipeline)) == as_named(contents)


def test_files_for_a_worker_that_is_dead_already_wait_for_the_next_in_their_order(
    pipeline: Pipeline, dropped: Dropped
) -> None:
    first = pipeline._workers.workers[0].child.process
    first.kill()
    first.wait()
    opened = dropped(some(3))
    offer(pipeline, opened)
    assert [task.opened for task in pipeline._queued] == opened
    assert [task.deaths for task in pipeline._queued] == [0] * len(opened)
    assert len(pipeline._workers._free) == pipeline._slots.count
    assert answers(finish(pipeline)) == as_named(some(3))


def test_a_worker_that_dies_idle_is_replaced(pipeline: Pipeline, dropped: Dropped) -> None:
    first = child("gdwatch.processes.worker")
    os.kill(first, signal.SIGKILL)
    turn_until(pipeline, lambda: first not in build.children(os.getpid()))
    offer(pipeline, dropped(some(1)))
    assert answers(finish(pipeline)) == as_named(some(1))


def test_a_file_that_takes_too_long_twice_is_rejected(
    model: Path, tmp_path: Path, dropped: Dropped
) -> None:
    with Closing(ready(start(model, tmp_path, decode_timeout_s=0.1))) as pipeline:
        offer(pipeline, dropped({"slow": build.slow_photograph()}))
        (judged,) = finish(pipeline)
    assert answers([judged]) == {"slow": "decoder_timeout"}
    assert judged.decoded.sha256 == build.sha256(build.slow_photograph())


def test_an_engine_killed_at_work_is_started_again_and_judges_the_same_files(
    pipeline: Pipeline, dropped: Dropped
) -> None:
    first = child("gdwatch.processes.engine")
    os.kill(first, signal.SIGSTOP)
    contents = some(5)
    offer(pipeline, dropped(contents))
    for _ in range(10):  # until the stopped engine has been handed all that it may have
        assert pipeline.turn(0.1) == []
    os.kill(first, signal.SIGKILL)
    assert answers(finish(pipeline)) == as_named(contents)
    assert child("gdwatch.processes.engine") != first


def test_what_an_engine_has_answered_before_its_death_counts(
    pipeline: Pipeline, dropped: Dropped
) -> None:
    contents = some(2)
    offer(pipeline, dropped(contents))
    judged = turn_until(pipeline, lambda: given(pipeline) == [1])
    # It has answered, and nobody listens.
    select.select([pipeline._engine.child], [], [], build.DEADLINE_S)
    os.kill(child("gdwatch.processes.engine"), signal.SIGKILL)
    os.waitid(os.P_PID, pipeline._engine.child.process.pid, os.WEXITED | os.WNOWAIT)
    dead = pipeline._engine
    judged += [each for batch in pipeline.turn(0) for each in batch.judged]
    assert pipeline._engine is dead
    assert answers(judged) == as_named(contents)
    for each in judged:
        os.close(each.opened.descriptor)
    turn_until(pipeline, lambda: pipeline._engine is not dead)


def test_an_engine_that_keeps_dying_is_an_error(model: Path, tmp_path: Path) -> None:
    others = set(build.children(os.getpid()))
    killed: set[int] = set()

    def kill_engines() -> bool:
        found = build.children(os.getpid())
        for pid in found.keys() - others - killed:
            if found[pid] == "gdwatch.processes.engine":
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        return False

    with (
        Closing(start(model, tmp_path)) as pipeline,
        pytest.raises(GdwatchError, match=r"the engine on device cpu ended \d times in a row"),
    ):
        turn_until(pipeline, kill_engines)
    assert len(killed) >= 2


def test_an_engine_that_does_not_start_in_time_is_ended(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_client, "_START_S", 0.1)  # torch alone needs longer
    with Closing(start(model, tmp_path)) as pipeline, pytest.raises(GdwatchError, match="ended"):
        turn_until(pipeline, lambda: pipeline.ready)


def test_another_model_that_does_not_start_in_time_is_given_up(
    model: Path, tmp_path: Path, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Closing(ready(start(model, tmp_path))) as pipeline:
        monkeypatch.setattr(engine_client, "_START_S", 0.1)
        pipeline.reload()
        assert pipeline._swap._engine is not None
        turn_until(pipeline, lambda: pipeline._swap._engine is None)
        offer(pipeline, dropped(some(1)))
        assert answers(finish(pipeline)) == as_named(some(1))


# ------------------------------------------------------------------------- several processes


def given(pipeline: Pipeline) -> list[int]:
    """How many batches each of the engine's processes has."""
    return [len(lane.batches) for lane in pipeline._engine._lanes]


def engines(pipeline: Pipeline) -> list[int]:
    """The processes of its engine, the first first."""
    first = pipeline._engine.child.process.pid
    return [first, *build.children(first)]


def stopped(pipeline: Pipeline) -> list[int]:
    """Of an engine of two processes, once it is ready."""
    pids = engines(ready(pipeline))
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def test_processes_share_the_full_batches(model: Path, tmp_path: Path, dropped: Dropped) -> None:
    contents = some(8)
    with Closing(start(model, tmp_path, workers=2)) as pipeline:
        pids = stopped(pipeline)
        offer(pipeline, dropped(contents))
        turn_until(pipeline, lambda: given(pipeline) == [2, 2])
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert answers(finish(pipeline)) == as_named(contents)


@pytest.mark.parametrize("which", [0, 1])
def test_when_one_process_dies_the_engine_is_started_again_and_judges_the_same_files(
    model: Path, tmp_path: Path, dropped: Dropped, which: int
) -> None:
    contents = some(8)
    with Closing(start(model, tmp_path, workers=2)) as pipeline:
        pids = stopped(pipeline)
        offer(pipeline, dropped(contents))
        turn_until(pipeline, lambda: given(pipeline) == [2, 2])
        os.kill(pids[which], signal.SIGKILL)
        assert answers(finish(pipeline)) == as_named(contents)
        assert not set(engines(pipeline)) & set(pids)


def test_what_one_process_has_answered_counts_though_another_has_died(
    model: Path, tmp_path: Path, dropped: Dropped
) -> None:
    contents = some(4)
    with Closing(start(model, tmp_path, workers=2)) as pipeline:
        first, second = stopped(pipeline)
        offer(pipeline, dropped(contents))
        turn_until(pipeline, lambda: given(pipeline) == [1, 1])
        os.kill(first, signal.SIGCONT)
        select.select([pipeline._engine.child], [], [], build.DEADLINE_S)
        os.kill(second, signal.SIGKILL)
        build.wait_until(lambda: not build.is_alive(second))
        batches = pipeline.turn(0)
        assert [len(batch.judged) for batch in batches] == [4]
        assert answers(finish(pipeline, batches[0].judged)) == as_named(contents)


def test_an_engine_that_cannot_be_started_again_leaves_nothing_twice(
    model: Path, tmp_path: Path, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> Engine:
        raise OSError(errno.EAGAIN, "no more processes")

    with Closing(start(model, tmp_path, workers=2)) as pipeline:
        pids = stopped(pipeline)
        offer(pipeline, dropped(some(2)))
        turn_until(pipeline, lambda: any(given(pipeline)))
        monkeypatch.setattr(pipeline, "_start_engine", none_left)
        os.kill(pids[1], signal.SIGKILL)
        with pytest.raises(OSError, match="no more processes"):
            turn_until(pipeline, lambda: False)
        assert pipeline.outstanding == 4


def test_as_many_files_may_be_open_as_the_system_allows(model: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        with Closing(start(model, tmp_path)):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_every_engine_dies_of_is_an_error_though_other_processes_answer(
    model: Path, tmp_path: Path, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    fatal, *others = dropped(some(8))
    judge = Engine.judge

    def die_of_it(engine: Engine, tasks: Sequence[Task]) -> None:
        if any(task.opened is fatal for task in tasks):
            os.killpg(engine.child.process.pid, signal.SIGKILL)
        judge(engine, tasks)

    monkeypatch.setattr(Engine, "judge", die_of_it)
    with Closing(ready(start(model, tmp_path, workers=2))) as pipeline:
        offer(pipeline, [fatal, *others])
        with pytest.raises(GdwatchError, match=r"ended 3 times in a row at the same photographs"):
            turn_until(pipeline, lambda: False)


def test_photographs_that_may_be_large_get_fewer_places(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Closing(start(model, tmp_path)) as pipeline:
        room, most = pipeline.room, pipeline._slots.layout.most_bytes
    monkeypatch.setattr("gdwatch.pipeline.capacity._SLOTS_BYTES", (room - 1) * most)
    with Closing(start(model, tmp_path)) as pipeline:
        assert pipeline.room == room - 1
    monkeypatch.setattr("gdwatch.pipeline.capacity._SLOTS_BYTES", 0)
    with Closing(ready(start(model, tmp_path))) as pipeline:
        assert pipeline.room >= 4  # a batch
        pipeline._slots.count = 0  # as if another model had taken over that has fewer
        assert pipeline.room == 0


def test_where_places_are_few_batches_are_smaller_and_all_engines_work(
    model: Path, tmp_path: Path, dropped: Dropped, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Closing(start(model, tmp_path, workers=2)) as pipeline:
        most = pipeline._slots.layout.most_bytes
    monkeypatch.setattr("gdwatch.pipeline.capacity._SLOTS_BYTES", 12 * most)  # of 52
    with Closing(start(model, tmp_path, workers=2)) as pipeline:
        pids = stopped(pipeline)
        offer(pipeline, dropped(some(4)))
        turn_until(pipeline, lambda: all(given(pipeline)))
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        assert answers(finish(pipeline)) == as_named(some(4))


class Closing:
    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def __enter__(self) -> Pipeline:
        return self.pipeline

    def __exit__(self, *_: object) -> None:
        self.pipeline.close()


def descriptors() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
    return found


def test_nothing_is_left_of_a_closed_pipeline(
    model: Path, tmp_path: Path, dropped: Dropped
) -> None:
    others = set(build.children(os.getpid()))
    opened = dropped(some(4))
    given = {str(each.descriptor) for each in opened}
    before = descriptors()
    made = start(model, tmp_path, workers=2)
    offer(made, opened)
    made.turn(0.1)
    pids = engines(ready(made))
    assert len(pids) == 2
    made.close()
    del made  # the slots go with the last one who sees them
    assert set(build.children(os.getpid())) == others
    build.wait_until(lambda: not any(map(build.is_alive, pids)))
    assert descriptors() == {fd: what for fd, what in before.items() if fd not in given}


# ------------------------------------------------------------------------- models


def test_another_model_takes_over_between_two_photographs(
    model: Path, tmp_path: Path, dropped: Dropped
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(model.read_bytes())
    with Closing(ready(start(path, tmp_path))) as pipeline:
        old = pipeline.model
        path.write_bytes(b"no model")
        pipeline.reload()
        build.model_file(path, slope=-30.0, name="contrary")
        assert pipeline.model == old
        offer(pipeline, dropped(some(2)))
        pipeline.reload()
        assert answers(finish(pipeline)) == as_named(some(2))
        turn_until(pipeline, lambda: pipeline.model.name == "contrary")
        offer(pipeline, dropped(some(1)))
        assert answers(finish(pipeline)) == {"male0": "female", "female0": "male"}


def test_a_model_that_its_engine_refuses_is_an_error_at_the_start(tmp_path: Path) -> None:
    arguments = {"stem": 8, "widths": [8], "blocks": [1]}
    path = build.model_file(
        tmp_path / "m.safetensors",
        classifier={"arch": "residual", "arguments": arguments, "input": 32},
    )
    with (
        Closing(start(path, tmp_path)) as pipeline,
        pytest.raises(ActionNeeded, match="has shape"),
    ):
        turn_until(pipeline, lambda: False)


def test_the_settings_outweigh_the_models_own_threshold(
    model: Path, tmp_path: Path, dropped: Dropped
) -> None:
    with Closing(start(model, tmp_path, min_confidence=1.0)) as pipeline:
        assert pipeline.model.rules.endswith("min_confidence=1")
        offer(pipeline, dropped({"dim": photograph(1, 150)}))
        assert answers(finish(pipeline)) == {"dim": "low_confidence"}
