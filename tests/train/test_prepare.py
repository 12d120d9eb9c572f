import csv
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gdwatch.decode import decode
from gdwatch.errors import GdwatchError, UsageError
from tests.train.conftest import picture
from train import pictures
from train.prepare import LIMITS, prepare, split_of

COLUMNS = ["path", "label", "source", "age", "group", "identity", "split"]


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_pictures(folder: Path, count: int, **more: str) -> list[dict[str, str]]:
    rows = []
    for label in ("female", "male"):
        (folder / "a" / label).mkdir(parents=True)
        for number in range(count):
            path = f"a/{label}/{number}.bmp"
            (folder / path).write_bytes(picture(label, number))
            rows.append({"path": path, "label": label, **more})
    return rows


def test_class_folders_become_pixels_as_the_service_sees_them(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    data = class_folders(3)
    prepare([data], tmp_path / "out")
    prepared = pictures.load(tmp_path / "out")
    assert [row.path for row in prepared.rows[2:4]] == ["female/002.bmp", "male/000.bmp"]
    assert {row.source for row in prepared.rows} == {"faces"}
    assert (prepared.rows[0].width, prepared.rows[0].height) == (20, 24)
    _, square = decode((data / "male/000.bmp").read_bytes(), LIMITS, pictures.SIDE)
    assert np.array_equal(prepared.pixels[3], square)


def test_a_manifest_gives_source_age_group_and_split(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 2, source="s", age="7", group="g", identity="i", split="val")
    write_manifest(data, rows)
    prepare([data], tmp_path / "out")
    row = pictures.load(tmp_path / "out").rows[0]
    assert (row.source, row.age, row.group, row.identity, row.split) == ("s", 7, "g", "i", "val")


def test_pictures_without_people_are_left_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 2)
    rows[0]["label"] = "none"
    write_manifest(data, rows)
    assert len(prepare([data], tmp_path / "out").rows) == 3


def test_pictures_are_read_out_of_a_tar(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = []
    with tarfile.open(data / "some.tar", "w") as tar:
        for label in ("female", "male"):
            content = picture(label, 1)
            member = tarfile.TarInfo(f"s/{label}.bmp")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            rows.append({"path": member.name, "label": label})
    write_manifest(data, rows)
    assert [row.path for row in prepare([data], tmp_path / "out").rows] == [
        "s/female.bmp",
        "s/male.bmp",
    ]
    assert not (data / "s").exists()


def test_of_equal_files_one_is_kept_so_none_is_in_two_splits(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 2, split="train")
    (data / "again.bmp").write_bytes(picture("female", 1))
    write_manifest(data, [*rows, {"path": "again.bmp", "label": "female", "split": "test"}])
    summary = prepare([data], tmp_path / "out")
    assert summary.duplicates == 1
    assert {row.split for row in summary.rows} == {"train"}


def test_all_pictures_of_a_person_are_in_one_split(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 30)
    for number, row in enumerate(rows):
        row["identity"] = f"person {number % 10}"
    write_manifest(data, rows)
    splits: dict[str, set[str]] = {}
    for row in prepare([data], tmp_path / "out").rows:
        splits.setdefault(row.identity, set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())


def test_about_84_8_and_8_of_a_hundred_are_in_train_val_and_test() -> None:
    splits = [split_of("", str(number)) for number in range(10_000)]
    shares = [splits.count(split) / 10_000 for split in ("train", "val", "test")]
    assert shares == pytest.approx([0.84, 0.08, 0.08], abs=0.01)


def test_the_split_of_a_picture_never_changes() -> None:
    assert [split_of("", "a"), split_of("", "b"), split_of("x", "a")] == [
        split_of("", "a"),
        split_of("", "b"),
        split_of("x", "b"),
    ]


def test_an_unreadable_picture_is_named_and_the_others_are_kept(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    data = class_folders(3)
    (data / "male/001.bmp").write_bytes(picture("male", 1)[:200])
    summary = prepare([data], tmp_path / "out")
    assert [picture.path for picture in summary.unreadable] == ["male/001.bmp"]
    assert len(pictures.load(tmp_path / "out").rows) == 5


def test_a_picture_that_is_nowhere_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_manifest(data, [*write_pictures(data, 1), {"path": "gone.bmp", "label": "male"}])
    summary = prepare([data], tmp_path / "out")
    assert [picture.path for picture in summary.unreadable] == ["gone.bmp"]


def test_one_class_only_is_an_error(class_folders: Callable[[int], Path], tmp_path: Path) -> None:
    data = class_folders(2)
    for file in (data / "male").iterdir():
        file.unlink()
    with pytest.raises(GdwatchError, match="no picture of class male, 2 of the other one"):
        prepare([data], tmp_path / "out")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GdwatchError, match=r"neither manifest\.csv nor folders female/ and male/"):
        prepare([tmp_path], tmp_path / "out")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", "cat", r"manifest\.csv:2: label cat; use female, male, none"),
        ("split", "half", r"manifest\.csv:2: split half; use train, val, test"),
        ("age", "old", r"manifest\.csv:2: age old; use whole years"),
    ],
)
def test_a_wrong_word_in_a_manifest_is_named_with_its_line(
    tmp_path: Path, column: str, value: str, message: str
) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 1)
    rows[0][column] = value
    write_manifest(data, rows)
    with pytest.raises(GdwatchError, match=message):
        prepare([data], tmp_path / "out")


def test_a_compressed_tar_is_an_error(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_manifest(data, write_pictures(data, 1))
    with tarfile.open(data / "some.tar", "w:gz") as tar:
        tar.add(data / "a")
    with pytest.raises(GdwatchError, match=r"some\.tar: not a whole, uncompressed tar"):
        prepare([data], tmp_path / "out")


def test_a_folder_that_was_not_prepared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GdwatchError, match="not a prepared folder"):
        pictures.load(tmp_path)


def test_the_manifest_of_the_pictures_is_never_overwritten(tmp_path: Path) -> None:
    write_manifest(tmp_path, write_pictures(tmp_path, 1))
    before = (tmp_path / "manifest.csv").read_bytes()
    with pytest.raises(UsageError, match="holds the pictures; give --out another folder"):
        prepare([tmp_path], tmp_path)
    assert (tmp_path / "manifest.csv").read_bytes() == before
