from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from gdwatch.values import Box
from train.data.prepared_set import Prepared

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from train.detection.boxes import Face
from train.teachers.embed import Embedded, SeenFace
from train.teachers.measure import measure, table
from train.teachers.teach import Answers


def test_each_teacher_is_measured_by_source_and_by_size(prepared: Prepared) -> None:
    ages = {0: 3, 1: 40}
    rows = [replace(row, source=f"s{number % 2}", age=ages.get(number))
            for number, row in enumerate(prepared.rows)]  # fmt: skip
    male = prepared.is_male()
    seen = [SeenFace(row.path, Face(Box(0, 0, 10 if number % 2 else 50, 8), 1.0, ()), main=True)
            for number, row in enumerate(rows)]  # fmt: skip
    seen.append(replace(seen[0], main=False))
    seen.append(replace(seen[0], path="a photograph without a label"))
    signal = np.append(np.where(male, 1.0, -1.0), [0, 0])
    small = np.array([each.size < 20 for each in seen])
    answers = Answers(np.where(small, 1.0, signal), -signal, signal)
    nothing = np.zeros((len(seen), 0), np.float16)
    got = measure(replace(prepared, rows=rows), Embedded(seen, nothing, nothing), answers, 10)
    shown = {each.name: each for each in got}
    assert list(shown) == ["all", "source s0", "source s1", "face below 16 px",
                           "face of 40 to 80 px"]  # fmt: skip
    assert shown["all"].count == len(rows) - 1
    assert shown["source s1"].face == 0.5
    assert shown["source s0"].face == 1
    assert shown["face below 16 px"] == replace(shown["source s1"], name="face below 16 px")
    assert {each.surroundings for each in got} == {0}
    assert {each.fused for each in got} == {1}
    console = Console(width=100, record=True, quiet=True)
    console.print(table(got))


def test_where_there_is_nobody_there_is_no_measure(prepared: Prepared) -> None:
    nothing = np.zeros((0, 0), np.float16)
    none = np.zeros(0)
    assert measure(prepared, Embedded([], nothing, nothing), Answers(none, none, none), 10) == []
