import csv
import os
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.decode import reduce
from gdwatch.decode.decoder import decode
from gdwatch.errors import GdwatchError, UsageError
from tests.train.build import photograph, picture
from train.data import prepared_set
from train.data.prepare import LIMITS, prepare, split_all
from train.data.prepared_set import Row
from train.data.sources import entries

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
    prepared = prepared_set.load(tmp_path / "out")
    assert [row.path for row in prepared.rows[2:4]] == ["female/002.bmp", "male/000.bmp"]
    assert {row.source for row in prepared.rows} == {"faces"}
    assert (prepared.rows[0].width, prepared.rows[0].height) == (20, 24)
    _, square = decode(
        (data / "male/000.bmp").read_bytes(), LIMITS, partial(reduce.whole, side=prepared_set.SIDE)
    )
    assert np.array_equal(prepared.stored[3], square)


def test_a_name_that_is_no_utf8_is_escaped_in_every_table(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    data = class_folders(3)
    for name, content in ((b"caf\xe9.bmp", picture("male", 77)), (b"bad\xff.bmp", b"")):
        (data / "male" / os.fsdecode(name)).write_bytes(content)
    summary = prepare([data], tmp_path / "out")
    assert [each.path for each in summary.unreadable] == [r"male/bad\xff.bmp"]
    assert r"male/bad\xff.bmp,empty,0 bytes" in (tmp_path / "out/unreadable.csv").read_text()
    paths = [row.path for row in prepared_set.load(tmp_path / "out").rows]
    assert paths[-1] == r"male/caf\xe9.bmp"
    entry = next(each for each in entries([data]) if each.path == paths[-1])
    assert entry.place is not None
    assert entry.place.read() == picture("male", 77)


def test_a_tar_and_folders_of_any_names_can_be_prepared(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    data = class_folders(2)
    (data / "male" / os.fsdecode(b"caf\xe9.bmp")).write_bytes(picture("male", 77))
    archive = tmp_path / os.fsdecode(b"faces\xe9.tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(data, "faces")
    summary = prepare([data.rename(tmp_path / os.fsdecode(b"d\xe9")), archive], tmp_path / "out")
    assert {row.source for row in summary.rows} == {r"d\xe9", r"faces\xe9"}
    assert len(prepared_set.load(tmp_path / "out").rows) == 10


def test_pictures_without_a_class_are_counted_and_not_learnt(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 2)
    rows[0]["label"] = "none"
    write_manifest(data, rows)
    summary = prepare([data], tmp_path / "out")
    assert (len(summary.rows), summary.without_class) == (3, 1)


def test_a_copy_goes_where_a_given_split_has_its_original(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 6)
    rows[0]["split"] = "test"
    (data / "again.bmp").write_bytes((data / rows[0]["path"]).read_bytes())
    write_manifest(data, [*rows, {"path": "again.bmp", "label": "female"}])
    summary = prepare([data], tmp_path / "out")
    assert summary.near_duplicates == 1
    assert {row.path: row.split for row in summary.rows}["again.bmp"] == "test"


def test_a_photograph_saved_anew_and_cut_is_never_in_two_splits(tmp_path: Path) -> None:
    for number in range(12):
        for label in ("female", "male"):
            write_copies(tmp_path / "data" / label, number, seed=f"{label}{number}")
    summary = prepare([tmp_path / "data"], tmp_path / "out")
    assert summary.near_duplicates == 24
    splits: dict[str, set[str]] = {}
    for row in summary.rows:
        splits.setdefault(row.path.removesuffix("-copy.jpg").removesuffix(".png"), set()).add(
            row.split
        )
    assert len(splits) == 24
    assert all(len(found) == 1 for found in splits.values())


def write_copies(folder: Path, number: int, seed: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photo = photograph(seed)
    photo.save(folder / f"{number}.png")
    box = (round(0.03 * photo.width), 0, photo.width, photo.height)
    photo.crop(box).save(folder / f"{number}-copy.jpg", quality=70)


def test_a_person_and_a_copy_draw_all_their_pictures_into_one_split(tmp_path: Path) -> None:
    dice = st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["", "", "val", "test"])),
        min_size=1,
        max_size=30,
    )

    @given(dice)
    def check(drawn: list[tuple[int, int, str]]) -> None:
        rows = [
            Row(f"{n}", "male", "s", None, "", f"p{who}" if who else "", split, f"{n}", 9, 9)
            for n, (who, _, split) in enumerate(drawn)
        ]
        pairs = [
            (other, one)
            for one in range(len(drawn))
            for other in range(one)
            if drawn[one][1] == drawn[other][1]
        ]
        found = split_all(rows, np.array(pairs, dtype=np.int64).reshape(-1, 2))
        for row, after in zip(rows, found, strict=True):
            assert not row.split or after.split == row.split
        for one, (who, photo, given_split) in enumerate(drawn):
            for other in range(one):
                related = photo == drawn[other][1] or (who and who == drawn[other][0])
                if related and not given_split and not drawn[other][2]:
                    assert found[one].split == found[other].split

    check()


def test_only_the_wanted_sources_are_taken(tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = write_pictures(data, 4)
    for row in rows[::2]:
        row["source"] = "b"
    write_manifest(data, rows)
    assert len(prepare([data], tmp_path / "out", ["b"]).rows) == 4
    with pytest.raises(UsageError, match="no source c; there are a, b"):
        prepare([data], tmp_path / "out", ["c"])


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


def test_an_unreadable_picture_is_named_and_the_others_are_kept(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    data = class_folders(3)
    (data / "male/001.bmp").write_bytes(picture("male", 1)[:200])
    summary = prepare([data], tmp_path / "out")
    assert [picture.path for picture in summary.unreadable] == ["male/001.bmp"]
    assert len(prepared_set.load(tmp_path / "out").rows) == 5


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


def test_the_manifest_of_the_pictures_is_never_overwritten(tmp_path: Path) -> None:
    write_manifest(tmp_path, write_pictures(tmp_path, 1))
    before = (tmp_path / "manifest.csv").read_bytes()
    with pytest.raises(UsageError, match="holds the pictures; give --out another folder"):
        prepare([tmp_path], tmp_path)
    assert (tmp_path / "manifest.csv").read_bytes() == before


def test_an_out_that_cannot_be_made_is_an_error(
    class_folders: Callable[[int], Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        GdwatchError, match=r"file/out: cannot be made a folder \(not a directory\)"
    ):
        prepare([class_folders(1)], tmp_path / "file/out")
