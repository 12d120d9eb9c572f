import csv
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError
from tests.train.build import picture
from train.data import prepared_set
from train.data.prepare import prepare

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


def test_a_manifest_gives_source_age_group_and_split(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 2, source="s", age="7", group="g", identity="i", split="val")
    write_manifest(data, rows)
    prepare([data], tmp_path / "out")
    row = prepared_set.load(tmp_path / "out").rows[0]
    assert (row.source, row.age, row.group, row.identity, row.split) == ("s", 7, "g", "i", "val")


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


def test_a_tar_of_class_folders_needs_no_manifest(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "mine.tar", "w") as tar:
        tar.add(class_folders(2), arcname="photos")
    rows = prepare([tmp_path / "mine.tar"], tmp_path / "out").rows
    assert [(row.path, row.label, row.source) for row in rows[1:3]] == [
        ("photos/female/001.bmp", "female", "mine"),
        ("photos/male/000.bmp", "male", "mine"),
    ]


def test_two_folders_may_have_the_same_names(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    one = class_folders(2)
    other = one.rename(tmp_path / "monday")
    rows = prepare([class_folders(1), other], tmp_path / "out").rows
    assert [row.path for row in rows][::2] == ["faces/female/000.bmp", "monday/female/000.bmp",
                                              "monday/male/000.bmp"]  # fmt: skip


def test_a_manifest_that_names_a_picture_twice_is_an_error(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 1)
    write_manifest(data, [*rows, rows[0]])
    with pytest.raises(GdwatchError, match=r"a/female/0\.bmp: names two pictures"):
        prepare([data], tmp_path / "out")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        GdwatchError, match=r"neither manifest\.csv nor folders female/ and male/ nor tars"
    ):
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", r"manifest\.csv: cannot be read \('utf-8' .*; write it as UTF-8"),
        (b"", r"manifest\.csv: no column `path`; its first line must be path,label"),
        (b"path,label\n", "no pictures; put pictures into female/ and male/"),
    ],
)
def test_a_manifest_that_is_none_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(GdwatchError, match=message):
        prepare([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GdwatchError, match=r"gone: no such folder; name a folder, a manifest\.csv"):
        prepare([tmp_path / "gone"], tmp_path / "out")
