"""Model files swapped and damaged (T27), and a device that fails (T25)."""

import json
import os
import signal
import struct
from pathlib import Path

import pytest

from tests import build
from tests.build import wait_until
from tests.faults.case import Case
from tests.faults.launch import Run, call
from tests.faults.surroundings import heals, pauses, ready, refused, stop, wait_for

# ------------------------------------------------------------------------- bad files


def cut(path: Path, good: bytes) -> None:
    path.write_bytes(good[: len(good) // 2])


def pickled(path: Path, _: bytes) -> None:
    path.write_bytes(b"cposix\nsystem\n(S'touch pickled'\ntR.")


def missing(path: Path, _: bytes) -> None:
    path.unlink()


def other_bytes(path: Path, good: bytes) -> None:
    """A header that names more bytes than there are."""
    header = json.loads(good[8 : 8 + struct.unpack("<Q", good[:8])[0]])
    text = json.dumps({**header, "more": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}})
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + good[8 + len(text) :])


def refused_by_its_engine(path: Path, _: bytes) -> None:
    build.model_file(path, recipe={"stub": "refuse"})


def fatal_to_its_engine(path: Path, _: bytes) -> None:
    build.model_file(path, recipe={"stub": "die"})


BAD = (cut, refused_by_its_engine, pickled, fatal_to_its_engine, missing, other_bytes)


def own_model(case: Case) -> Path:
    path = build.model_file(case.folder / "model.safetensors")
    case.settings["model"] = path
    case.model_sha256 = [build.sha256(path.read_bytes())]
    return path


@pytest.mark.scenario("T27", quick=3, long=12)
def test_a_bad_model_at_a_hangup_leaves_the_old_one_working(rounds: list[Case]) -> None:
    for case in rounds:
        path = own_model(case)
        good = path.read_bytes()
        run = ready(case)
        case.pick(BAD)(path, good)
        run.send(signal.SIGHUP)
        wait_for(run, "model.refused")
        case.drop_mixture(6)
        case.wait_until_filed(run)
        case.count.faults += 1
        stop(run)
        case.judge()
        assert not (case.folder / "pickled").exists()


@pytest.mark.scenario("T27", quick=1, long=4)
def test_rows_name_the_bytes_that_judged_whatever_lies_at_the_path(rounds: list[Case]) -> None:
    for case in rounds:
        path = own_model(case)
        run = ready(case)
        build.model_file(path, recipe={"stub": "contrary"}, version="2")
        case.drop_mixture(6)  # judged by the model that was read
        case.wait_until_filed(run)
        os.kill(engine_of(run), signal.SIGKILL)  # and the next engine gets the same bytes
        wait_for(run, "engine.restarted")
        case.drop("after.png")
        case.wait_until_filed(run)
        case.count.faults += 2
        stop(run)
        case.judge()


def engine_of(run: Run) -> int:
    def found() -> list[int]:
        return [pid for pid, name in build.children(run.pid).items() if "engine" in name]

    (pid,) = wait_until(found, "the engine")
    return pid


@pytest.mark.scenario("T27", quick=1, long=4)
def test_a_bad_model_at_the_start_stops_it(rounds: list[Case]) -> None:
    for case in rounds:
        path = own_model(case)
        good = path.read_bytes()
        case.drop_mixture(4)
        case.pick((refused_by_its_engine, cut, pickled, missing))(path, good)
        refused(case, case.start("run", allowed=(78,)), "model")
        path.write_bytes(good)
        case.finish()


# ------------------------------------------------------------------------- a bad device


@pytest.mark.scenario("T25", quick=2, long=14)
def test_a_device_that_is_gone_is_waited_for(rounds: list[Case]) -> None:
    for case in rounds:
        trouble = case.folder / "trouble"
        use = call("tests.faults.failing_engine:use", trouble=str(trouble))
        run = ready(case, before=[use])
        trouble.write_text(case.pick(["refuse", "die"]))
        case.drop_mixture(8)
        os.kill(engine_of(run), signal.SIGKILL)
        told = pauses(case, run, "device_gone")
        assert told["state"] == "paused"
        trouble.unlink()
        heals(case, run)
        case.judge()


@pytest.mark.scenario("T25", quick=1, long=8)
def test_an_engine_that_fails_at_every_batch_ends_the_service_and_rejects_nothing(
    rounds: list[Case],
) -> None:
    for case in rounds:
        trouble = case.folder / "trouble"
        use = call("tests.faults.failing_engine:use", trouble=str(trouble))
        trouble.write_text("die_on_batch")
        case.drop_mixture(8)
        run = case.start("run", before=[use], allowed=(1,))
        refused(case, run, "ended 3 times in a row", status=1)
        trouble.unlink()
        case.finish()


@pytest.mark.scenario("T25", quick=1, long=8)
def test_a_batch_that_does_not_fit_on_the_card_is_halved(rounds: list[Case]) -> None:
    """The real engine, with a network that runs out of memory as a card does."""
    for case in rounds:
        fits = case.pick([1, 3])
        (case.folder / "sitecustomize.py").write_text(_NO_MEMORY.format(fits=fits))
        for number in range(8):
            case.drop(f"{number}.png", build.photograph(case.number * 100 + number))
        run = case.start("run", "--once", engine="real", batch_size=8,
                         environment={"PYTHONPATH": str(case.folder)})  # fmt: skip
        assert run.wait(deadline_s=300) == 0, run.text()  # it loads torch
        assert run.events("engine.oom")
        assert all(row["outcome"] == "male" for row in case.rows())
        case.count.faults += 1
        case.judge()


_NO_MEMORY = """
import sys
if "gdwatch.processes.engine" in sys.orig_argv:
    import torch
    from gdwatch.networks.residual import ResidualClassifier
    whole = ResidualClassifier.forward
    def forward(self, batch):
        if len(batch) > {fits}:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, batch)
    ResidualClassifier.forward = forward
"""
