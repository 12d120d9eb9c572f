"""Labels of photographs, and those of a root: a real service, and a person who corrects it."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from tests import build
from tests.train.build import picture
from train.tuning import labels
from train.tuning.labels import LEAST, Labelled


@pytest.fixture(scope="module")
def once_filed(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A root with 3 filed pictures more of each class than are needed, and a grey one."""
    root = build.make_root(tmp_path_factory.mktemp("filed") / "root")
    for label in ("female", "male"):
        for number in range(LEAST + 3):
            build.put(root, f"{label}-{number}.bmp", picture(label, number))
    build.put(root, "caf\udce9.png", build.photograph(7, 128))
    with build.Services(model).ending() as services:
        services.once(root)
    return root


@pytest.fixture
def filed(once_filed: Path, tmp_path: Path) -> Path:
    """The same root, for one test."""
    return Path(shutil.copytree(once_filed, tmp_path / "root"))


def correct(root: Path, verdict: str, *names: str) -> None:
    done = build.gdwatch("correct", "--root", str(root), *names, verdict, cwd=root)
    assert done.returncode == 0, done.stderr


def names(label: str, numbers: range) -> list[str]:
    return [f"{label}/{label}-{number}.bmp" for number in numbers]


def told(read: Labelled) -> Counter[str]:
    return Counter(entry.label for entry in read.entries)


def test_corrections_and_hand_moves_are_the_labels_and_answers_are_not(
    filed: Path, services: build.Services
) -> None:
    correct(filed, "male", *names("female", range(LEAST)))
    correct(filed, "female", *names("male", range(LEAST - 1)))
    (filed / "male" / f"male-{LEAST}.bmp").rename(filed / "female" / f"male-{LEAST}.bmp")
    correct(filed, "neither", f"female/female-{LEAST}.bmp")
    service = services.start(filed)
    by_hand = "SELECT id FROM corrections WHERE how = 'hand'"
    service.wait_until(lambda: build.query(filed, by_hand), "the move by hand")
    service.stop()
    found = labels.read(filed)
    assert found.is_root
    assert told(found) == {"male": LEAST, "female": LEAST}
    assert found.neither == 1
    by_path = {entry.path: entry for entry in found.entries}
    assert f"female/male-{LEAST}.bmp" in by_path
    for entry in found.entries:
        assert entry.place is not None
        assert entry.place.read() == (filed / entry.path).read_bytes()
    assert {each.path for each in found.uncorrected} >= {
        f"female/female-{LEAST + 1}.bmp", f"male/male-{LEAST + 1}.bmp"
    }  # fmt: skip


def test_a_correction_that_was_taken_back_is_none(filed: Path) -> None:
    correct(filed, "male", *names("female", range(LEAST)))
    correct(filed, "female", *names("male", range(LEAST + 1)))
    done = build.gdwatch("correct", "--root", str(filed), "--undo", "female/male-0.bmp", cwd=filed)
    assert done.returncode == 0, done.stderr
    assert told(labels.read(filed)) == {"male": LEAST, "female": LEAST}


def refused(source: Path) -> str:
    with pytest.raises(GdwatchError) as caught:
        labels.read(source)
    return str(caught.value).removeprefix(f"{source}: ")


def test_a_root_without_corrections_is_one_line(filed: Path) -> None:
    assert refused(filed) == (
        "no corrections of female or male; `gdwatch correct FILE female` also confirms an answer "
        "that is right"
    )


def test_corrections_all_one_way_are_one_line(filed: Path) -> None:
    correct(filed, "male", *names("female", range(3)))
    assert refused(filed).startswith("all 3 corrections are of male, none of female; `gdwatch corr")


def test_a_root_that_never_ran_is_one_line(root: Path) -> None:
    assert "no root of gdwatch" in refused(root)


def test_one_class_is_one_line(class_folders: Callable[[int], Path]) -> None:
    data = class_folders(LEAST)
    (data / "male").rename(data / "other")
    assert refused(data).startswith(f"all {LEAST} pictures are of female, none of male; put more")


def test_ten_pictures_are_one_line(class_folders: Callable[[int], Path]) -> None:
    assert refused(class_folders(5)) == (
        "5 pictures of female and 5 of male, too few to learn from; label at least 20 of each; "
        "put more photographs into female/ and male/"
    )


def test_class_folders_are_labels(class_folders: Callable[[int], Path]) -> None:
    found = labels.read(class_folders(LEAST))
    assert told(found) == {"male": LEAST, "female": LEAST}
    assert not found.is_root
