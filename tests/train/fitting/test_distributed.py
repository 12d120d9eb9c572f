"""Real processes: several that train together, and one that is killed."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.train.build import TINY_SEED, Told, write_recipe
from train.data.prepared_set import Prepared
from train.fitting import checkpoint
from train.fitting.distributed import ProcessGroup
from train.fitting.recipe import Recipe

HERE = Path(__file__).parents[3]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}


def fit(prepared: Prepared, recipe: Path, out: Path, processes: int = 1) -> Told:
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    told = subprocess.run(
        [*start, "train", "fit", str(prepared.folder), "--recipe", str(recipe), "--out", str(out)],
        cwd=HERE, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Told(told.returncode, told.stdout, told.stderr)


def losses(run: Path) -> list[list[float]]:
    with (run / "metrics.csv").open(newline="") as stream:
        return [
            [float(row["train_loss"]), float(row["val_loss"])] for row in csv.DictReader(stream)
        ]


def test_two_processes_learn_as_one_does(prepared: Prepared, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    write_recipe(Recipe.model_validate(TINY_SEED), recipe)
    one = fit(prepared, recipe, tmp_path / "one")
    two = fit(prepared, recipe, tmp_path / "two", processes=2)
    assert (one.status, two.status) == (0, 0), two.err
    assert len(losses(tmp_path / "one")) == 3
    for alone, together in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert together == pytest.approx(alone, abs=1e-4)
    assert two.out == one.out  # said once, not twice
    first = checkpoint.load(tmp_path / "one").network.state_dict()
    second = checkpoint.load(tmp_path / "two").network.state_dict()
    for name, value in first.items():
        assert torch.allclose(value, second[name], atol=1e-4), name


def test_a_batch_that_cannot_be_shared_evenly_is_an_error(
    prepared: Prepared, tmp_path: Path
) -> None:
    recipe = tmp_path / "tiny.toml"
    write_recipe(Recipe.model_validate(TINY_SEED | {"batch": 15}), recipe)
    told = fit(prepared, recipe, tmp_path / "run", processes=2)
    assert told.status != 0
    assert "gdtrain: 2 processes: cannot share a batch of 15 evenly" in told.err


def test_the_parts_of_a_team_are_the_batch() -> None:
    cpu = torch.device("cpu")
    parts = [list(range(12))[ProcessGroup(rank, 3, cpu).share(12)] for rank in range(3)]
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_run_killed_twice_ends_with_the_weights_of_one_that_was_not(
    prepared: Prepared, tmp_path: Path
) -> None:
    recipe = tmp_path / "tiny.toml"
    phases = [{"size": 32, "epochs": 12}]
    write_recipe(Recipe.model_validate(TINY_SEED | {"phases": phases}), recipe)
    assert fit(prepared, recipe, tmp_path / "whole").status == 0
    for epochs in (2, 6):
        kill_after(epochs, prepared, recipe, tmp_path / "killed")
    before = checkpoint.load(tmp_path / "killed").history
    assert 6 <= len(before) < 12
    assert fit(prepared, recipe, tmp_path / "killed").status == 0
    whole, killed = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "killed")
    assert killed.history[: len(before)] == before
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, killed.network.state_dict()[name]), name
    for name, value in whole.best.items():
        assert torch.equal(value, killed.best[name]), name


def kill_after(epochs: int, prepared: Prepared, recipe: Path, out: Path) -> None:
    """Start a training and kill it with SIGKILL when so many epochs are kept."""
    command = ["train", "fit", str(prepared.folder), "--recipe", str(recipe), "--out", str(out)]
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=HERE, env=os.environ | ONE_THREAD,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"epoch={epochs} "):
                process.send_signal(signal.SIGKILL)
                break
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert process.returncode == -signal.SIGKILL
