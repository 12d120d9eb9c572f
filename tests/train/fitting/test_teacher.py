import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.errors import GdwatchError, UsageError
from tests.train.build import ON_A_DISK, Untold, two_input_model
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.fitting import teacher
from train.fitting.fit import fit
from train.fitting.judge import judge
from train.fitting.recipe import Recipe


def test_written_answers_teach_and_the_label_stands_in(prepared: Prepared, tmp_path: Path) -> None:
    file = tmp_path / "teacher.csv"
    teacher.write({prepared.rows[0].path: 0.25}, file)
    read = teacher.read(file)
    rows = np.arange(len(prepared.rows))
    said = read.answers(prepared, rows, torch.device("cpu"))
    assert said[0] == pytest.approx(0.25)
    assert (said[1:] == prepared.is_male()[1:]).all()
    with file.open() as stream:
        assert next(csv.reader(stream)) == ["path", "p_male"]


def test_a_model_with_two_inputs_teaches_with_both_and_is_no_tutor(
    three_views: Path, recipe: Recipe, tmp_path: Path
) -> None:
    made = two_input_model()
    prepared = prepared_set.load(three_views, "face")
    rows = np.arange(1, 20)
    judged = judge(made, prepared_set.load(three_views), rows, torch.device("cpu"))
    said = teacher.ModelTeacher(made).answers(prepared, rows, torch.device("cpu"))
    assert said == pytest.approx([each.p_male for each in judged])
    wanted = recipe.model_copy(update={"crop": "face", "tutor": 0.5})
    with pytest.raises(UsageError, match="the tutor has two inputs"):
        fit(prepared, wanted, tmp_path / "run", Untold(), tutor=made)


@pytest.mark.parametrize("row", ["x,y", "x", "x,1.5", "x,-0.1", "x,nan"])
def test_broken_answers_are_named(row: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(f"path,p_male\nok,0.5\n{row}\n")
    with pytest.raises(GdwatchError, match=r"bad.csv: not a teacher's answers"):
        teacher.read(tmp_path / "bad.csv")


@ON_A_DISK
@given(st.dictionaries(st.text('ab\n\r\x0b\x85\u2028 ,"', min_size=1), st.floats(0, 1)))
def test_answers_come_back_as_they_were_written(said: dict[str, float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "teacher.csv"
        teacher.write(said, file)
        again = teacher.read(file)
    assert isinstance(again, teacher.WrittenTeacher)
    assert again.by_path == pytest.approx(said, abs=1e-5)
