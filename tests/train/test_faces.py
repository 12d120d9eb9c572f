"""The face trainer's stages: boxes, scenes, the locator, crops, and what is learnt from them."""

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.detection import scores_and_boxes
from gdwatch.networks.locator import Locator
from gdwatch.values import Box
from tests import build
from train.data import prepared_set
from train.data.prepared_set import RIM, SIDE, Prepared
from train.data.sources import entries
from train.detection import boxes, crop_faces, locator_recipe, locator_run, stock, train_locator
from train.detection.boxes import Face
from train.detection.locator_loss import loss_of
from train.detection.locator_recipe import LocatorRecipe
from train.detection.scenes import Photograph, Stock, compose
from train.detection.targets import targets
from train.export.export import export
from train.fitting import teacher
from train.fitting.augment import augment, throw
from train.fitting.checkpoint import Run
from train.fitting.fit import fit
from train.fitting.predict import logits
from train.fitting.recipe import Augmentation, Pooled, Recipe
from train.fitting.selection import pictures_of_an_epoch

from .conftest import DAMAGED, Untold

# Each example is written durably, and how long that takes is not asked.
ON_A_DISK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HEADER = "path,x,y,width,height,score,landmarks\n"
STILL = Augmentation(degrees=0, zoom=1, shift=0, brightness=0, contrast=0, grey=0)
TINY = LocatorRecipe(
    seed=1, input=64, threshold=0.45, epochs=2, scenes=8, batch=4, lr=0.01, weight_decay=0,
    warmup=0.1, ema=0.9, close=5,
    network=locator_recipe.Shape(stem=4, widths=[4, 4, 4], blocks=[0, 0, 0], head=4),
)  # fmt: skip

lengths = st.floats(1, 900, width=32)
found = st.builds(
    Face,
    st.builds(Box, lengths, lengths, lengths, lengths),
    st.floats(0, 1, width=32),
    st.lists(lengths, min_size=10, max_size=10).map(tuple),
)


def photograph(side: int = 200) -> Photograph:
    noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    box = np.array([[60, 50, 120, 130, 0.9]], np.float32)
    return Photograph(Image.fromarray(noise), box)


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


def test_what_is_taught_reads_back_as_the_box() -> None:
    heat, counts, cells, weight = targets(
        [np.array([50, 40, 90, 88, 0.9], np.float32)], 160, 160, 20
    )
    row, column = np.argwhere(heat == 1)[0]
    assert (row, column) == (8, 8)
    assert weight[row, column] == 1
    assert counts.min() == 1
    answer = torch.from_numpy(np.concatenate((heat[None], cells))[None])
    _, read = scores_and_boxes(answer)
    assert read[0, row * 20 + column].tolist() == pytest.approx([50, 40, 90, 88], abs=0.1)


@pytest.mark.parametrize(
    "face", [[50, 40, 90, 88, 0.2], [50, 40, 54, 45, 0.9], [-60, 40, 20, 120, 0.9]],
    ids=["unsure", "small", "cut"],
)  # fmt: skip
def test_a_doubtful_face_is_neither_taught_nor_denied(face: list[float]) -> None:
    heat, counts, _, weight = targets([np.array(face, np.float32)], 160, 160, 20)
    assert heat.max() == weight.max() == 0
    assert counts.min() == 0


def test_a_scene_depends_on_its_dice_alone() -> None:
    made_of = Stock([photograph()], [photograph(120)], [])
    one, same, other = (compose(made_of, 64, np.random.default_rng(n)) for n in (1, 1, 2))
    assert one.thumbnail.shape == (3, 64, 64)
    assert (one.thumbnail == same.thumbnail).all()
    assert (one.thumbnail != other.thumbnail).any()
    assert compose(Stock([], [], []), 64, np.random.default_rng(0)).heat.shape == (8, 8)


def test_a_locators_loss_is_less_for_the_right_answer() -> None:
    heat, counts, cells, weight = (
        torch.from_numpy(values)[None]
        for values in targets([np.array([50, 40, 90, 88, 0.9], np.float32)], 160, 160, 20)
    )
    logit = torch.where(heat == 1, 6.0, -6.0)
    right = torch.cat((logit[:, None], cells), 1)
    wrong = torch.cat((logit[:, None].flip(2), cells), 1)
    moved = torch.cat((logit[:, None], cells + 0.5), 1)
    least = loss_of(right, heat, counts, cells, weight)
    assert least < 0.1
    assert least < loss_of(moved, heat, counts, cells, weight)
    assert least < loss_of(wrong, heat, counts, cells, weight)


def faces_of(folder: Path) -> dict[str, list[Face]]:
    return {
        entry.path: [Face(Box(10, 10, 60, 70), 0.9, (1.0,) * 10)] for entry in entries([folder])
    }


def test_a_stopped_locator_goes_on_as_if_it_had_not_stopped(
    prepared: Prepared, tmp_path: Path
) -> None:
    data = next(tmp_path.glob("*/female")).parent
    listed, known = entries([data]), prepared_set.splits(prepared.folder)
    found = faces_of(data)
    whole = list(train_locator.fit(listed, known, found, TINY, tmp_path / "whole", 0))
    begun = train_locator.fit(listed, known, found, TINY, tmp_path / "again", 0)
    next(begun)
    begun.close()
    rest = list(train_locator.fit(listed, known, found, TINY, tmp_path / "again", 0))
    assert [epoch for epoch, *_ in rest] == [2]
    assert rest[-1][1] == pytest.approx(whole[-1][1], rel=1e-4)
    assert json.loads((tmp_path / "whole" / "locator.json").read_text())[0]["threshold"] == 0.3
    other = TINY.model_copy(update={"lr": 0.02})
    with pytest.raises(GdwatchError, match="made with another recipe"):
        next(train_locator.fit(listed, known, found, other, tmp_path / "again", 0))


def test_the_packaged_locator_recipe_is_the_shipped_network() -> None:
    recipe = locator_recipe.read("locator")
    shipped = model_file.read(model_file.find("fast")).details.locator
    assert shipped is not None
    wanted = recipe.network.model_dump() | {"threshold": recipe.threshold, "folded": True}
    assert (shipped.arguments, shipped.input) == (wanted, recipe.input)


def test_a_stock_sorts_and_shrinks(class_folders: object, prepared: Prepared) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])
    near = {listed[0].path: [Face(Box(1, 1, 80, 90), 0.9, ())]}
    made_of = stock.load(listed[:3], near, {}, 5)
    assert len(made_of.close) + len(made_of.wide) == 1  # without a face it is of no use
    seen = stock.read(listed[0], near[listed[0].path])
    assert seen is not None
    assert max(seen.image.size) <= 288


@pytest.fixture
def cut(prepared: Prepared) -> Prepared:
    """Prepared pictures with squares of their faces; an untrained locator finds none."""
    data = next(prepared.folder.parent.glob("*/female")).parent
    finder = Locator(**TINY.network.model_dump(), threshold=0.999)
    assert crop_faces.cut(entries([data]), prepared.folder, finder, 64) == 0
    return prepared_set.load(prepared.folder, "face")


def test_without_a_face_the_whole_picture_stands_inside_the_rim(
    cut: Prepared, prepared: Prepared
) -> None:
    assert cut.rim == RIM
    assert cut.digest != prepared.digest
    row = np.array([0])
    assert cut.framed(row).shape == (1, SIDE + 2 * RIM, SIDE + 2 * RIM, 3)
    shape = cut.rows[0]
    if shape.width == shape.height:
        apart = cut.pixels(row).astype(int) - prepared.pixels(row).astype(int)
        assert np.abs(apart).mean() < 6


def test_a_rim_is_only_seen_where_a_picture_moves() -> None:
    framed = torch.zeros(8, 3, 40, 40, dtype=torch.uint8)
    framed[:, :, 4:36, 4:36] = 200
    still = augment(framed, throw(8, STILL), STILL, 32)
    assert still.shape == (8, 3, 32, 32)
    assert still.min() > 199
    moving = STILL.model_copy(update={"shift": 0.1})
    torch.manual_seed(0)
    assert augment(framed, throw(8, moving), moving, 32).min() < 100


def test_something_hides_a_part_and_resolution_is_lost() -> None:
    torch.manual_seed(0)
    photos = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    hiding = STILL.model_copy(update={"hidden": 1.0})
    seen = augment(photos, throw(16, hiding), hiding, 32)
    flat = (seen[:, :, 1:, 1:] == seen[:, :, :-1, :-1]).all(1).float().mean((1, 2))
    assert flat.min() > 0.01
    assert flat.max() < 0.3
    coarse = STILL.model_copy(update={"coarse": 1.0})
    assert augment(photos, throw(16, coarse), coarse, 32).std() < 0.8 * photos.float().std()


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


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_run_of_a_locator_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "locator.pt").write_bytes(content)
    with pytest.raises(GdwatchError, match=r"locator.pt: not a run of `gdtrain locate`") as told:
        locator_run.load(tmp_path)
    assert "\n" not in str(told.value)


def test_a_photograph_that_can_no_longer_be_read_is_named(prepared: Prepared) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])
    (data / listed[3].path).write_bytes(b"RIFF, and no more of it")
    finder = Locator(**TINY.network.model_dump(), threshold=0.999)
    with pytest.raises(GdwatchError, match=f"{listed[3].path}: can no longer be read"):
        crop_faces.cut(listed, prepared.folder, finder, 64)
    (data / listed[3].path).unlink()
    with pytest.raises(GdwatchError, match=f"{listed[3].path}: can no longer be read"):
        crop_faces.cut(listed, prepared.folder, finder, 64)


def test_a_stock_leaves_out_what_cannot_be_read(prepared: Prepared) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])[:3]
    found = {entry.path: [Face(Box(1, 1, 19, 20), 0.9, ())] for entry in listed}
    (data / listed[0].path).write_bytes(b"RIFF, and no more of it")
    (data / listed[1].path).unlink()
    assert len(stock.load(listed, found, {}, 5).close) == 1


def test_faces_are_learnt_with_a_tutor_and_shipped_with_a_locator(
    cut: Prepared, prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    phase = recipe.phases[0].model_copy(update={"size": 32, "epochs": 1})
    network = Pooled(arch="pooled", widths=[4, 8], blocks=[1, 1])
    face = recipe.model_copy(update={"phases": [phase], "network": network, "crop": "face"})
    with pytest.raises(UsageError, match="learns from crop face"):
        fit(prepared, face, tmp_path / "no", Untold())
    first = fit(cut, face, tmp_path / "first", Untold())
    assert first.history[-1].epoch == 1
    data = next(prepared.folder.parent.glob("*/female")).parent
    splits = prepared_set.splits(prepared.folder)
    list(train_locator.fit(entries([data]), splits, faces_of(data), TINY, tmp_path / "locator", 0))
    file = tmp_path / "m.safetensors"
    with pytest.raises(UsageError, match="give --locator"):
        export(tmp_path / "first", file, "m", "1", 0.9)
    export(tmp_path / "first", file, "m", "1", 0.9, tmp_path / "locator")
    loaded = model.load(model_file.read(file))
    assert loaded.locator is not None
    assert loaded.details.preprocessing.margin == crop_faces.MARGIN
    tutored = face.model_copy(update={"tutor": 0.5})
    with pytest.raises(UsageError, match="a tutor, but none was given"):
        fit(cut, tutored, tmp_path / "second", Untold())
    second = fit(cut, tutored, tmp_path / "second", Untold(), tutor=loaded, start=file)
    assert second.basis.tutor == loaded.sha256
    assert second.history[0].train_loss != first.history[0].train_loss


def test_a_source_kept_out_is_not_learnt(prepared: Prepared, recipe: Recipe) -> None:
    source = prepared.rows[0].source
    assert len(pictures_of_an_epoch(prepared, recipe)) > 0
    out = recipe.model_copy(update={"without": [source]})
    learnt = pictures_of_an_epoch(prepared, out)
    assert source not in {prepared.rows[row].source for row in learnt}


@pytest.fixture
def with_nobody(class_folders: object, prepared: Prepared) -> Prepared:
    """The prepared pictures once more, with striped ones of nobody among the photographs."""
    data = next(prepared.folder.parent.glob("*/female")).parent
    (data / "none").mkdir()
    bars = (np.arange(40) // 4 % 2 * 255).astype(np.uint8)
    for number in range(6):
        striped = np.broadcast_to(np.roll(bars, number)[None, :, None], (40, 40, 3))
        Image.fromarray(np.ascontiguousarray(striped)).save(data / "none" / f"{number}.png")
    listed = ["path,label", *(f"{row.path},{row.label}" for row in prepared.rows)]
    listed += [f"none/{number}.png,none" for number in range(6)]
    (data / "manifest.csv").write_text("\n".join(listed))
    finder = Locator(**TINY.network.model_dump(), threshold=0.999)
    crop_faces.cut(entries([data]), prepared.folder, finder, 64)
    return prepared_set.load(prepared.folder, "face")


def test_photographs_without_people_teach_what_nobody_can_tell(
    with_nobody: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    nobody = with_nobody.nobody
    known = prepared_set.splits(with_nobody.folder)
    split = [prepared_set.split_of_path(f"none/{number}.png", known) for number in range(6)]
    assert len(nobody) == 8 * split.count("train") > 0
    assert nobody[0] == len(with_nobody.rows)
    learnt = recipe.model_copy(update={"crop": "face"})
    without = fit(with_nobody, learnt, tmp_path / "without", Untold())
    taught = learnt.model_copy(update={"nobody": 8})
    run = fit(with_nobody, taught, tmp_path / "run", Untold())
    size = recipe.input

    def doubt(run: Run) -> float:
        return float(np.abs(logits(run.average, with_nobody, nobody, size)).mean())

    assert doubt(run) < 0.5 * doubt(without)
    assert run.history[-1].val_balanced_accuracy > 0.9
    np.save(with_nobody.folder / "pictures.npy", np.asarray(with_nobody.stored))
    with pytest.raises(GdwatchError, match=r"120 rows in manifest.csv, but pictures.npy"):
        prepared_set.load(with_nobody.folder)


def test_the_locator_of_a_model_file_serves_like_that_of_a_run(
    prepared: Prepared, tmp_path: Path
) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])
    list(train_locator.fit(listed, prepared_set.splits(prepared.folder), faces_of(data), TINY,
                     tmp_path / "run", 0))  # fmt: skip
    of_run, network = locator_run.load(tmp_path / "run")
    shape = build.details(
        locator=network.model_dump(),
        preprocessing={"margin": 1.4, "mean": [0, 0, 0], "std": [1, 1, 1]},
    )
    model.save(tmp_path / "m.safetensors", build.network(), shape, of_run)
    of_file, same = locator_run.load(tmp_path / "m.safetensors")
    assert same == network
    thumbnails = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(of_run(thumbnails), of_file(thumbnails))
    with pytest.raises(UsageError, match="a model without a locator"):
        locator_run.load(build.model_file(tmp_path / "whole.safetensors"))
