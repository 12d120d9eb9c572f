import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.errors import GdwatchError
from gdwatch.values import Box
from tests.train.build import ON_A_DISK
from train.detection import boxes
from train.detection.boxes import Face

HEADER = "path,x,y,width,height,score,landmarks\n"


lengths = st.floats(1, 900, width=32)


found = st.builds(
    Face,
    st.builds(Box, lengths, lengths, lengths, lengths),
    st.floats(0, 1, width=32),
    st.lists(lengths, min_size=10, max_size=10).map(tuple),
)


@ON_A_DISK
@given(st.dictionaries(st.text('ab/é ,"', min_size=1), st.lists(found, max_size=3)))
def test_faces_come_back_as_they_were_written(kept: dict[str, list[Face]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "faces.csv"
        boxes.write(kept, file)
        again = boxes.read(file)
    assert again.keys() == kept.keys()
    for path, many in kept.items():
        for before, after in zip(many, again[path], strict=True):
            assert after.box.width == pytest.approx(before.box.width, abs=0.06)
            assert after.score == pytest.approx(before.score, abs=0.001)
            assert after.landmarks == pytest.approx(before.landmarks, abs=0.06)


@pytest.mark.parametrize(
    "content",
    ["path,x\na,b\n", HEADER + "a,1,2,3\n", HEADER + "a\n", HEADER + "a,1,2,3,4,0.9,1 x\n",
     HEADER + 'a,1,2,3,4,0.9,"' + "1 " * 70_000],
    ids=["columns", "cut short", "cut at the path", "no number", "a quote that does not end"],
)  # fmt: skip
def test_a_broken_file_of_faces_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text(content)
    with pytest.raises(GdwatchError, match=r"faces.csv: not a file of faces"):
        boxes.read(tmp_path / "faces.csv")


def test_the_faces_that_a_teacher_answers_for_are_read(tmp_path: Path) -> None:
    file = tmp_path / "taught.csv"
    file.write_text("path,x,y,w,h,p_male\na.jpg,1,2,3,4,0.25\na.jpg,5,6,7,8,1\n")
    taught = boxes.read_taught(file)
    assert taught == {"a.jpg": [(Box(1, 2, 3, 4), 0.25), (Box(5, 6, 7, 8), 1.0)]}
    file.write_text("path,x,y,w,h\na.jpg,1,2,3,4\n")
    with pytest.raises(GdwatchError, match=r"no table of a teacher's faces .*path,x,y,w,h,p_male"):
        boxes.read_taught(file)


def test_an_unsure_face_counts_only_where_there_is_no_other() -> None:
    small, large = Box(40, 40, 20, 20), Box(0, 0, 90, 90)
    sure, unsure = Face(small, 0.9, (1.0,) * 10), Face(large, 0.3, (1.0,) * 10)
    unmarked = Face(large, 1.0, ())
    assert boxes.most_prominent([unsure, sure, unmarked], 100, 100) is sure
    assert boxes.most_prominent([unsure, unmarked], 100, 100) is unsure
    assert boxes.most_prominent([unmarked], 100, 100) is None
