"""Teachers, whose answers are learnt besides the labels: a model file, or a CSV of answers."""

import csv
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from gdwatch.errors import GdwatchError
from gdwatch.inference.model import Model
from train.atomic_files import publish
from train.data.prepared_set import Indices, Prepared
from train.fitting.judge import judge
from train.fitting.named_model import open_model
from train.metrics import Floats

ANSWERS = ["path", "p_male"]


class Teacher(Protocol):
    """Gives soft labels for prepared pictures."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of its file."""

    def answers(self, prepared: Prepared, rows: Indices, device: torch.device) -> Floats:
        """The probabilities of `male` of some rows, (N,)."""


@dataclass(frozen=True, slots=True)
class ModelTeacher:
    """A model that judges the prepared pictures, not augmented, with all that it sees of them."""

    model: Model

    @property
    def sha256(self) -> str:  # noqa: D102 - as in Teacher
        return self.model.sha256

    def answers(  # noqa: D102 - as in Teacher
        self, prepared: Prepared, rows: Indices, device: torch.device
    ) -> Floats:
        judged = judge(self.model, prepared, rows, device)
        return np.array([each.p_male for each in judged], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class WrittenTeacher:
    """Answers by path; a picture that is not among them has its label for an answer."""

    sha256: str
    by_path: Mapping[str, float]

    def answers(  # noqa: D102 - as in Teacher
        self,
        prepared: Prepared,
        rows: Indices,
        device: torch.device,
    ) -> Floats:
        return np.array(
            [
                self.by_path.get(prepared.rows[row].path, float(prepared.rows[row].label == "male"))
                for row in rows
            ],
            dtype=np.float64,
        )


def read(file: Path) -> Teacher:
    """Open a teacher: a .csv of answers, a model file, or a shipped model by its name.

    Raises GdwatchError.
    """
    if file.suffix != ".csv":
        return ModelTeacher(open_model(file))
    try:
        content = file.read_bytes()
        rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
        by_path = {row["path"]: _share(row["p_male"], rows.line_num) for row in rows}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise GdwatchError(
            f"{file}: not a teacher's answers ({error})", f"its columns are {','.join(ANSWERS)}"
        ) from error
    return WrittenTeacher(hashlib.sha256(content).hexdigest(), by_path)


def _share(text: str | None, line: int) -> float:
    if text is None:
        raise ValueError(f"line {line} is cut short")
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(f"line {line}: p_male {text} is not from 0 to 1")
    return share


def write(answers: Mapping[str, float], file: Path) -> None:
    """Write answers by path, 0 to 1, for `read`. Raises GdwatchError."""
    with publish(file) as aside, aside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(ANSWERS)
        writer.writerows([path, f"{p_male:.5f}"] for path, p_male in answers.items())
