"""`gdwatch.Classifier`, as a program uses it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest

import gdwatch
from gdwatch import Answer, Classifier
from gdwatch.errors import ActionNeeded
from tests import build
from tests.build import BRIGHT, DARK, GREY, children, photograph


@pytest.fixture(scope="module")
def classify(model: Path) -> Iterator[Classifier]:
    with Classifier(model, workers=1, device="cpu") as made:
        yield made


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_one_photograph_gets_the_answer_of_the_service(
    classify: Classifier, tmp_path: Path
) -> None:
    path = written(tmp_path, "a.png", photograph(1, BRIGHT))
    answer = classify(path)
    assert (answer.path, answer.outcome, answer.reason) == (path, "male", None)
    assert answer.label == "male"
    assert answer.p_male == pytest.approx(answer.confidence)
    assert answer.confidence is not None
    assert 0.9 < answer.confidence < 1
    assert (answer.format, answer.model, answer.detail) == ("PNG", "brightness 1", None)
    assert path.read_bytes() == photograph(1, BRIGHT)


def test_many_are_answered_in_their_order_and_none_stops_the_others(
    classify: Classifier, tmp_path: Path
) -> None:
    content = {0: photograph(2, BRIGHT), 1: b"no picture", 2: photograph(3, GREY),
               3: photograph(4, DARK), 5: b""}  # fmt: skip
    for number, each in content.items():
        written(tmp_path, f"{number}.png", each)
    paths = [tmp_path / f"{number}.png" for number in range(6)] * 20
    answers = list(classify.many(paths))
    assert [each.path for each in answers] == paths
    assert [each.outcome for each in answers[:6]] == [
        "male", "rejected", "unsure", "female", "rejected", "rejected"
    ]  # fmt: skip
    assert [each.reason for each in answers[:6]] == [
        None, "not_an_image", "low_confidence", None, "unreadable", "empty"
    ]  # fmt: skip
    assert answers[4].detail == "No such file or directory"
    assert [each.outcome for each in answers] == [each.outcome for each in answers[:6]] * 20


def test_photographs_are_taken_as_they_are_needed(classify: Classifier, tmp_path: Path) -> None:
    path = written(tmp_path, "a.png", photograph(5, DARK))
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    answers = classify.many(endless())
    assert [next(answers).outcome for _ in range(3)] == ["female"] * 3
    assert taken < 2000
    with pytest.raises(RuntimeError, match="have not ended yet"):
        next(classify.many([path]))
    answers.close()  # type: ignore[attr-defined]  # of a generator, which it is
    assert classify(path).outcome == "female"
    assert not [each for each in os.listdir("/proc/self/fd") if _opens(each, path)]


def _opens(descriptor: str, path: Path) -> bool:
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink() == path
    except OSError:
        return False


def test_the_shipped_models_tell_the_faces_with_their_boxes(tmp_path: Path) -> None:
    with Classifier("fast", workers=1) as classify:
        answer = classify(written(tmp_path, "astronaut.png", build.astronaut()))
    (face, *_) = answer.faces
    assert answer.size == (512, 512)
    assert 150 < face.box.x < 260
    assert 50 < face.box.y < 150
    assert face.p_male == answer.p_male
    assert answer.model.startswith("fast ")


def test_the_processes_end_with_it(model: Path) -> None:
    before = set(children(os.getpid()))
    with Classifier(model, workers=1):
        assert set(children(os.getpid())) - before
    assert set(children(os.getpid())) == before


def test_a_setting_or_model_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match="colour"):
        Classifier(colour="red")
    with pytest.raises(ActionNeeded, match=r"nowhere\.safetensors"):
        Classifier(tmp_path / "nowhere.safetensors")


def test_what_is_public_is_imported_when_it_is_asked_for_and_without_torch() -> None:
    program = """
import sys
import gdwatch
before = set(sys.modules)
assert not [name for name in before if name.startswith("gdwatch.")], before
gdwatch.Classifier, gdwatch.Answer
assert "gdwatch.classifier" in sys.modules
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert gdwatch.__all__ == ["Answer", "Classifier"]
    assert gdwatch.Answer is Answer
    with pytest.raises(AttributeError, match="no attribute 'Model'"):
        _ = gdwatch.Model


def test_a_program_hears_nothing_of_what_goes_well(model: Path, tmp_path: Path) -> None:
    path = written(tmp_path, "a.png", photograph(6, BRIGHT))
    program = f"""
from gdwatch import Classifier
with Classifier({str(model)!r}, workers=1) as classify:
    print(classify({str(path)!r}).outcome)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("male\n", "")
