"""Train both shipped models: the commands of `gdtrain` in their order."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.published.weights import CENTERFACE, DLIB, MOBILENET, TEACHERS, find


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and the file that exists when it is done.

    leaves: None for a command that itself goes on where it stopped.
    """

    command: list[str]
    leaves: Path | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the models are made of.

    data: the photographs, as for `prepare`.
    out: the folder of all files that are made.
    weights: folders with published weights.
    recipes: a folder with recipes in place of the package's.
    drawn: a table of boxes that people drew.
    wild: sources that count for more in the calibration.
    anew: whether nothing begins with the shipped models, but the networks of faces with dlib's
        weights.
    version: of both models.
    """

    data: Sequence[Path]
    out: Path
    version: str
    weights: Sequence[Path] = ()
    recipes: Path | None = None
    drawn: Path | None = None
    wild: Sequence[str] = ()
    anew: bool = False

    @property
    def photographs(self) -> list[str]:
        """The photographs, as arguments."""
        return list(map(str, self.data))

    @property
    def prepared(self) -> Path:
        """The prepared folder."""
        return self.out / "prepared"

    @property
    def locators(self) -> list[str]:
        """Both locators, as options."""
        return ["--locator", str(self.out / "locator"), "--closer", str(self.out / "closer")]

    def recipe(self, name: str) -> list[str]:
        """A recipe, as an option."""
        return ["--recipe", name if self.recipes is None else str(self.recipes / f"{name}.toml")]

    def finished(self, name: str) -> Path:
        """The file of a finished model."""
        return self.out / f"{name}.safetensors"


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


def steps(plan: Plan) -> list[Step]:
    """The steps that train both models from photographs.

    Raises GdwatchError where weights are not on this machine.
    """
    dlib, mobilenet, *_ = (
        str(find(each, plan.weights)) for each in (DLIB, MOBILENET, CENTERFACE, *TEACHERS)
    )
    return [
        *_of_pictures(plan),
        *_of_faces(plan),
        _fit(plan, "accurate", "accurate/face", dlib if plan.anew else "accurate"),
        _fit(plan, "surroundings", "accurate/surroundings", mobilenet),
        *_model(plan, "accurate", ["fuse", str(plan.out / "accurate/face"),
                                   str(plan.out / "accurate/surroundings")]),
        _fit(plan, "fast", "fast/face", dlib if plan.anew else "fast"),
        *_model(plan, "fast", ["export", str(plan.out / "fast/face")]),
    ]  # fmt: skip


def _of_pictures(plan: Plan) -> list[Step]:
    """Pictures prepared, faces found, and the locators that find them."""
    prepared, faces = str(plan.prepared), str(plan.out / "faces.csv")
    published = [word for folder in plan.weights for word in ("--weights", str(folder))]
    workers = len(os.sched_getaffinity(0)) - 1  # scenes are the same for any number of them
    locate = ["locate", *plan.photographs, "--prepared", prepared, "--faces", faces, *_drawn(plan),
              "--workers", str(workers)]  # fmt: skip
    first, closer = str(plan.out / "locator"), str(plan.out / "closer")
    start = [] if plan.anew else ["--start", "fast"]
    return [
        Step(["prepare", *plan.photographs, "--out", prepared], plan.prepared / "manifest.csv"),
        Step(["audit", prepared, "--apply"], plan.prepared / "manifest.clean.csv"),
        Step(["detect", *plan.photographs, "-o", faces, *published]),
        Step([*locate, *plan.recipe("locator"), *start, "--out", first]),
        Step([*locate, *plan.recipe("closer"), "--start", first, "--out", closer]),
    ]


def _of_faces(plan: Plan) -> list[Step]:
    """What teachers say of the faces, and what the networks see of the pictures."""
    photographs = [*plan.photographs, "--prepared", str(plan.prepared),
                   "--faces", str(plan.out / "faces.csv")]  # fmt: skip
    published = [word for folder in plan.weights for word in ("--weights", str(folder))]
    return [
        Step(["teach", *photographs, "--clean", *plan.recipe("accurate"), *published,
              "-o", str(plan.out / "teacher.csv")], plan.out / "teacher.csv"),
        Step(["crop", *photographs, *_drawn(plan), *plan.locators, "--upright", "--surroundings",
              "--teacher-faces", str(plan.out / "teacher-faces.csv")],
             plan.prepared / "crops.csv"),
    ]  # fmt: skip


def _drawn(plan: Plan) -> list[str]:
    return [] if plan.drawn is None else ["--boxes", str(plan.drawn)]


def _fit(plan: Plan, recipe: str, folder: str, start: str) -> Step:
    return Step(["fit", str(plan.prepared), "--clean", *plan.recipe(recipe), "--teacher",
                 str(plan.out / "teacher.csv"), "--start", start,
                 "--out", str(plan.out / folder)])  # fmt: skip


def _model(plan: Plan, name: str, made: list[str]) -> list[Step]:
    """A model file of runs, and the same calibrated. made: the command that makes it of them."""
    exported, finished = plan.out / name / "exported.safetensors", plan.finished(name)
    named = ["--name", name, "--version", plan.version]
    wild = [word for source in plan.wild for word in ("--wild", source)]
    return [
        Step([*made, *plan.locators, *named, "-o", str(exported)], exported),
        Step(["calibrate", str(exported), *plan.photographs, "--prepared", str(plan.prepared),
              *wild, "-o", str(finished)], finished),
    ]  # fmt: skip
