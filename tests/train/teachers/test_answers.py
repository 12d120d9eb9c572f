import csv
from pathlib import Path

import numpy as np
import pytest

from gdwatch.values import Box

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from train.detection.boxes import Face
from train.fitting import teacher
from train.teachers import answers
from train.teachers.embed import Embedded, SeenFace


def test_main_faces_and_all_faces_have_a_file_each(tmp_path: Path) -> None:
    one, other = (Face(Box(x, 2.04, 30, 40), 0.9, ()) for x in (10.06, 70.0))
    seen = [SeenFace("a.png", one, main=True), SeenFace("a.png", other, main=False),
            SeenFace("b.png", other, main=True)]  # fmt: skip
    nothing = np.zeros((3, 0), np.float16)
    logits = np.array([0.0, np.log(3), -np.log(9)])
    assert answers.write(Embedded(seen, nothing, nothing), logits, tmp_path / "t.csv") == 2
    read = teacher.read(tmp_path / "t.csv")
    assert isinstance(read, teacher.WrittenTeacher)
    assert read.by_path == {"a.png": 0.5, "b.png": 0.1}
    with (tmp_path / "t-faces.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["path", "x", "y", "w", "h", "p_male"],
        ["a.png", "10.1", "2.0", "30", "40", "0.5"],
        ["a.png", "70.0", "2.0", "30", "40", "0.75"],
        ["b.png", "70.0", "2.0", "30", "40", "0.1"],
    ]
