"""Train both shipped models: the commands of `gdtrain` in their order."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.published.weights import CENTERFACE, DLIB, TEACHERS, find


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and the file that exists when it is done.

    leaves: None for a command that itself goes on where it stopped.
    """

    command: list[str]
    leaves: Path | None = None


def run(chain: Sequence[Step], gdtrain: Callable[[list[str]], None]) -> None:
    """Run the steps that are not done; each is shown as the command that does the same.

    gdtrain: runs one command.
    """
    for step in chain:
        done = step.leaves is not None and step.leaves.exists()
        shown = f"gdtrain {shlex.join(step.command)}"
        print(f"done: {shown}" if done else shown, file=sys.stderr, flush=True)
        if not done:
            gdtrain(step.command)


def steps(
    data: Sequence[Path], out: Path, weights: Sequence[Path], recipes: Path | None, version: str
) -> list[Step]:
    """The steps that train both models from photographs; all their files are under `out`.

    weights: folders with published weights.
    recipes: a folder with locator.toml, accurate.toml and fast.toml in place of the package's.

    Raises GdwatchError where weights are not on this machine.
    """
    begin, *_ = (str(find(each, weights)) for each in (DLIB, CENTERFACE, *TEACHERS))
    workers = len(os.sched_getaffinity(0)) - 1  # scenes are the same for any number of them
    photographs = list(map(str, data))
    published = [word for folder in weights for word in ("--weights", str(folder))]
    prepared, faces, answers = out / "prepared", out / "faces.csv", out / "teacher.csv"
    locator = out / "locator"
    option = ["--prepared", str(prepared)]

    def recipe(name: str) -> str:
        return name if recipes is None else str(recipes / f"{name}.toml")

    def finished(name: str) -> Path:
        return out / f"{name}.safetensors"

    def model(name: str, teacher: Path) -> list[Step]:
        run, exported, done = out / name, out / name / "exported.safetensors", finished(name)
        return [
            Step(["fit", str(prepared), "--clean", "--recipe", recipe(name), "--teacher",
                  str(teacher), "--start", begin, "--out", str(run)]),
            Step(["export", str(run), "--locator", str(locator), "--name", name,
                  "--version", version, "-o", str(exported)], exported),
            Step(["calibrate", str(exported), *photographs, *option, "-o", str(done)], done),
        ]  # fmt: skip

    return [
        Step(["prepare", *photographs, "--out", str(prepared)], prepared / "manifest.csv"),
        Step(["audit", str(prepared), "--apply"], prepared / "manifest.clean.csv"),
        Step(["detect", *photographs, "-o", str(faces), *published]),
        Step(["locate", *photographs, *option, "--faces", str(faces), "--recipe", recipe("locator"),
              "--workers", str(workers), "--out", str(locator)]),
        Step(["crop", *photographs, *option, "--locator", str(locator)], prepared / "faces.csv"),
        Step(["teach", *photographs, *option, "--clean", "--faces", str(faces), "--recipe",
              recipe("accurate"), "-o", str(answers), *published], answers),
        *model("accurate", answers),
        *model("fast", finished("accurate")),
    ]  # fmt: skip
