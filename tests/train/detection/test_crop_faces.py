from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdwatch.decode.decoder import decode
from gdwatch.decode.reduce import view
from gdwatch.errors import GdwatchError
from gdwatch.inference.coordinates import photograph_to_slot
from gdwatch.inference.model_file import layout, read_models
from gdwatch.values import Box
from tests.train.build import blind_look
from train.data import crops, prepared_set
from train.data.crops import EMPTY, FACE, FALSE, OTHER, WHOLE
from train.data.prepare import LIMITS, prepare
from train.data.prepared_set import RIM, SIDE, Prepared
from train.data.sources import Entry, entries
from train.detection import crop_faces
from train.detection.boxes import Face
from train.detection.places import Known

# Upright, of a face of 40 by 50 pixels at (60, 50).
LANDMARKS = (70.0, 68.0, 90.0, 68.0, 80.0, 78.0, 72.0, 88.0, 88.0, 88.0)


def test_without_a_face_the_whole_picture_stands_inside_the_rim(
    cut: Prepared, prepared: Prepared
) -> None:
    assert cut.view == "face"
    assert cut.inside == (slice(RIM, RIM + SIDE), slice(RIM, RIM + SIDE))
    assert cut.digest != prepared.digest
    assert {cut.crop(row).kind for row in range(len(cut.rows))} == {WHOLE}
    row = np.array([0])
    assert cut.with_rim(row).shape == (1, SIDE + 2 * RIM, SIDE + 2 * RIM, 3)
    shape = cut.rows[0]
    if shape.width == shape.height:
        apart = cut.pixels(row).astype(int) - prepared.pixels(row).astype(int)
        assert np.abs(apart).mean() < 6


def test_a_photograph_that_can_no_longer_be_read_is_named(prepared: Prepared) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])
    (data / listed[3].path).write_bytes(b"RIFF, and no more of it")
    with pytest.raises(GdwatchError, match=f"{listed[3].path}: can no longer be read"):
        crop_faces.cut(listed, prepared.folder, [blind_look()])
    (data / listed[3].path).unlink()
    with pytest.raises(GdwatchError, match=f"{listed[3].path}: can no longer be read"):
        crop_faces.cut(listed, prepared.folder, [blind_look()])
    with pytest.raises(GdwatchError, match=r"no faces\.npy in it"):
        prepared_set.load(prepared.folder, "face")


@pytest.fixture
def street(tmp_path: Path) -> tuple[list[Entry], Path]:
    """A few photographs of persons, unlabelled ones, and one of nobody, prepared."""
    folder = tmp_path / "street"
    dice = np.random.default_rng(0)
    listed = ["path,label,split"]
    names = [("female", "train"), ("male", "train"), ("male", "val"), ("unknown", "train"),
             ("none", "train"), ("none", "test")]  # fmt: skip
    for number, (label, split) in enumerate(names):
        (folder / label).mkdir(parents=True, exist_ok=True)
        noise = dice.integers(0, 256, (200, 300, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / label / f"{number}.png")
        listed.append(f"{label}/{number}.png,{label},{split}")
    (folder / "manifest.csv").write_text("\n".join(listed))
    prepare([folder], tmp_path / "prepared")
    splits = dict(zip((line.split(",")[0] for line in listed[1:]), names, strict=True))
    found = [replace(entry, split=splits[entry.path][1]) for entry in entries([folder])]
    return found, tmp_path / "prepared"


def test_all_views_have_the_same_rows_of_faces_and_of_what_is_none(
    street: tuple[list[Entry], Path],
) -> None:
    listed, folder = street
    face = Face(Box(60, 50, 40, 50), 0.9, LANDMARKS)
    turned = replace(face, landmarks=_turned(LANDMARKS, 20))
    unsure = Face(Box(200, 20, 90, 90), 0.3, LANDMARKS)
    faces = {"female/0.png": [turned, unsure], "male/1.png": [face], "unknown/3.png": [face]}
    known = Known(
        faces=faces, taught={"unknown/3.png": [(face.box, 0.9)], "male/1.png": [(face.box, 0.1)]}
    )
    views = ("face", "upright", "surroundings")
    look = blind_look()
    assert crop_faces.cut(listed, folder, [look, look], known, views) == 2
    seen = [prepared_set.load(folder, view) for view in views]
    assert len({len(each.places) for each in seen}) == 1
    assert len({each.digest for each in seen}) == 1
    assert [each.pixels(np.array([0])).shape[1:3] for each in seen] == [
        (SIDE, SIDE), (SIDE, SIDE), (SIDE, 80)
    ]  # fmt: skip
    rows = crops.read(folder)
    assert [row.kind for row in rows[:4]] == [FACE, FACE, WHOLE, OTHER]
    assert rows[0].tilt == pytest.approx(20, abs=1)
    assert rows[1].tilt == pytest.approx(0, abs=1)
    assert rows[0].score == 0.9
    # The face of a labelled photograph has the label; the teacher answers for the other one.
    assert [(row.path, row.p_male) for row in rows if row.kind == OTHER] == [
        ("unknown/3.png", 0.9)
    ]  # fmt: skip
    assert (seen[0].stored[0] != seen[1].stored[0]).any()
    assert (seen[0].stored[1] == seen[1].stored[1]).all()
    nothing = [row for row in rows if row.kind in (FALSE, EMPTY)]
    assert "test" not in {row.split for row in nothing}
    assert [row.kind for row in nothing if row.path == "none/4.png"][-1] == EMPTY
    assert [seen[0].crop(row).kind for row in seen[0].nobody.tolist()] == [
        row.kind for row in nothing
    ]  # fmt: skip


def test_a_face_has_the_size_that_the_service_sees(tmp_path: Path) -> None:
    for label, kind in (("female", "jpg"), ("male", "png")):
        (tmp_path / "large" / label).mkdir(parents=True)
        photo = Image.linear_gradient("L").resize((2600, 1800)).convert("RGB")
        photo.save(tmp_path / "large" / label / f"photo.{kind}")
    listed = entries([tmp_path / "large"])
    prepare([tmp_path / "large"], tmp_path / "prepared")
    box = Box(400, 300, 400, 360)
    faces = {entry.path: [Face(box, 0.9, LANDMARKS)] for entry in listed}
    crop_faces.cut(listed, tmp_path / "prepared", [blind_look()], Known(faces=faces))
    worker = layout([each.details for each in read_models("auto", "face")], "face")
    for row in crops.read(tmp_path / "prepared")[:2]:
        content = (tmp_path / "large" / row.path).read_bytes()
        header, slot = decode(content, LIMITS, partial(view, wanted=worker), worker.least)
        seen = photograph_to_slot(box, (header.width, header.height), slot.shape[1::-1])
        assert row.size == pytest.approx(seen.width) == pytest.approx(100)
        assert row.width == 400


def test_fewer_views_leave_none_of_other_rows_behind(street: tuple[list[Entry], Path]) -> None:
    listed, folder = street
    crop_faces.cut(listed, folder, [blind_look()], views=("face", "upright"))
    crop_faces.cut(listed, folder, [blind_look()])
    with pytest.raises(GdwatchError, match=r"upright\.npy.*`gdtrain crop .* --upright"):
        prepared_set.load(folder, "upright")


def _turned(marks: tuple[float, ...], degrees: float) -> tuple[float, ...]:
    points = np.array(marks[0::2]) + 1j * np.array(marks[1::2])
    points = points.mean() + (points - points.mean()) * np.exp(1j * np.radians(degrees))
    return tuple(np.stack((points.real, points.imag), 1).ravel().tolist())
