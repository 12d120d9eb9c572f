"""CudaPredictor with the CPU as its device: everything but CUDA streams and graphs."""

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from gdwatch.cuda import self_test
from gdwatch.cuda.batched import resized_together, thumbnails_together
from gdwatch.cuda.cuda_predictor import CudaPredictor
from gdwatch.cuda.self_test import on_card
from gdwatch.cuda.streams import pinned
from gdwatch.decode import reduce
from gdwatch.decode.reduce import Pixels, Reduction
from gdwatch.inference import crop, detection, model, model_file
from gdwatch.inference.crop_geometry import Crop, square_around, square_of
from gdwatch.inference.model import Model
from gdwatch.inference.predictor import Finish, PlainPredictor, Predictor, Result
from gdwatch.inference.sharpness import sharpness
from gdwatch.networks.residual import ResidualClassifier
from gdwatch.pipeline import engine_client
from gdwatch.pipeline.drain import drain
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.processes import child, messages, parent
from gdwatch.processes.engine import serve
from gdwatch.processes.slots import Slots
from gdwatch.values import Box, Decision, Opened, Scores
from tests import build
from tests.bench.card import without_ranges
from tests.gdwatch.inference.test_predictor import CPU, labels, real_photographs

DOUBT = 0.02
META = torch.device("meta")  # knows shapes and devices, and no numbers
LENGTH = st.integers(1, 200)
SIDE = st.sampled_from([16, 64])
BOX = st.builds(
    Box, st.floats(-200, 200), st.floats(-200, 200), st.floats(0.01, 300), st.floats(0.01, 300)
)


def noise(width: int, height: int) -> Pixels:
    """The hardest picture to resize: random pixels of all levels."""
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


PHOTOS = st.lists(st.builds(noise, LENGTH, LENGTH), min_size=1, max_size=4)


def on_device(photos: Sequence[Pixels], device: torch.device = CPU) -> list[Tensor]:
    return [torch.from_numpy(photo).to(device) for photo in photos]


def levels_apart(found: Tensor, plain: Sequence[Pixels]) -> int:
    seen = found.permute(0, 2, 3, 1).numpy().astype(int)
    return int(np.abs(seen - np.stack(plain)).max())


# ------------------------------------------------------------------ pixels


@given(PHOTOS, BOX, st.floats(1, 2), SIDE)
def test_faces_are_cut_out_together_as_one_by_one(
    photos: list[Pixels], box: Box, margin: float, side: int
) -> None:
    plain = [crop.face(photo, box, margin, side) for photo in photos]
    squares = [square_of(box, margin, side, photo.shape[1], photo.shape[0]) for photo in photos]
    assert levels_apart(resized_together(on_device(photos), squares, side), plain) <= 2


@given(PHOTOS, SIDE)
def test_whole_photographs_are_cut_out_together_as_one_by_one(
    photos: list[Pixels], side: int
) -> None:
    plain = [crop.around(photo, side) for photo in photos]
    squares = [square_around(side, photo.shape[1], photo.shape[0]) for photo in photos]
    assert levels_apart(resized_together(on_device(photos), squares, side), plain) <= 2


@given(PHOTOS)
def test_thumbnails_are_made_together_as_one_by_one(photos: list[Pixels]) -> None:
    plain = list(detection.thumbnails(photos, 64).numpy())
    assert levels_apart(thumbnails_together(on_device(photos), 64), plain) <= 2


def test_few_pixels_differ_and_by_one_level_only() -> None:
    photos = [noise(150 + 37 * number, 400 - 53 * number) for number in range(6)]
    found = thumbnails_together(on_device(photos), 160)
    plain = detection.thumbnails(photos, 160)
    assert levels_apart(found, list(plain.numpy())) == 1
    assert (found.permute(0, 2, 3, 1) != plain).float().mean() < 0.01


def test_what_does_not_fit_at_once_is_resized_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [noise(90 + number, 70) for number in range(5)]
    whole = thumbnails_together(on_device(photos), 32)
    for room in (1, 2 * 94 * 70 * 3 * 4):
        monkeypatch.setattr("gdwatch.cuda.batched._AT_ONCE_BYTES", room)
        assert torch.equal(thumbnails_together(on_device(photos), 32), whole)


def test_a_square_that_is_the_photograph_is_left_as_it_is() -> None:
    photos = [noise(64, 64)]
    squares = [square_around(64, 64, 64)]
    assert levels_apart(resized_together(on_device(photos), squares, 64), photos) == 0


def test_nothing_is_worked_out_on_another_device_than_the_photographs() -> None:
    photos = on_device([noise(50, 40), noise(30, 60)], META)
    squares = [
        square_around(16, 50, 40),
        square_of(Box(9, 9, 30, 30), 1.4, 16, 30, 60),
    ]
    cut = resized_together(photos, squares, 16)
    assert (cut.device, cut.dtype, cut.shape) == (META, torch.uint8, (2, 3, 16, 16))
    shown = thumbnails_together(photos, 32)
    assert (shown.device, shown.dtype, shown.shape) == (META, torch.uint8, (2, 3, 32, 32))
    assert sharpness(cut).device == META


# ------------------------------------------------------------------ scores


@pytest.fixture(scope="module")
def exact() -> PlainPredictor:
    return shipped(torch.float32)


def shipped(precision: torch.dtype | None) -> PlainPredictor:
    loaded = model.load(model_file.read(model_file.find("fast")))
    return PlainPredictor(loaded, CPU, borders=(0.5, 0.9, 0.1), precision=precision)


def photographs() -> list[Pixels]:
    """Photographs of different sizes: portraits, two people, a crowd, no person, three pixels."""
    portrait = real_photographs()[1]
    crowd = Image.new("RGB", (1100, 640), "navy")
    for number in range(7):
        crowd.paste(portrait.resize((260, 305)), (number % 4 * 270, number // 4 * 320))
    pictures = [*real_photographs(), crowd, Image.new("RGB", (3, 1), "olive")]
    return [reduce.reduced(np.array(each), 610) for each in pictures]


def judged(judge: Predictor, photos: Sequence[Pixels]) -> list[Scores]:
    result = judge.begin(photos)()
    assert result.splits == 0
    return result.scores


def require_alike(found: Sequence[Scores], plain: Sequence[Scores], apart: float) -> None:
    """apart: how much probabilities may differ."""
    for scores, other in zip(found, plain, strict=True):
        assert scores.count == other.count
        assert scores.p_male == pytest.approx(other.p_male, abs=apart)
        for face, same in zip(scores.faces, other.faces, strict=True):
            assert face.p_male == pytest.approx(same.p_male, abs=apart)
            assert labels([face.p_male]) == labels([same.p_male])
            assert face.score == pytest.approx(same.score, abs=apart)
            assert face.sharpness == pytest.approx(same.sharpness, rel=0.05)
            assert astuple(face.box) == pytest.approx(astuple(same.box), abs=1)


@pytest.mark.parametrize("at_once", [1, 4, 8, 20])
def test_the_card_answers_what_the_engine_answers(exact: PlainPredictor, at_once: int) -> None:
    photos = photographs()
    plain = judged(exact, photos)
    assert [scores.count for scores in plain[:5]] == [1, 1, 2, 1, 0]
    assert (plain[6].count, len(plain[6].faces)) == (7, 5)  # more faces than fit, four at once
    # A box that moves past the middle between two pixels is cut one further.
    require_alike(judged(CudaPredictor(exact, DOUBT, at_once), photos), plain, DOUBT)


def test_it_does_so_in_half_precision(exact: PlainPredictor) -> None:
    half = shipped(torch.float16)
    require_alike(
        judged(CudaPredictor(half, DOUBT, 8), photographs()), judged(exact, photographs()), DOUBT
    )


def test_what_lies_near_a_border_is_judged_in_full() -> None:
    network = build.brightness_network(slope=0.1)  # so flat that everything lies near 0.5
    squares = [build.pixels(number, 20 * number, (build.SIDE, build.SIDE)) for number in range(9)]
    found, plain = (
        [
            scores.p_male
            for scores in judged(CudaPredictor(predictor_of(network, each), DOUBT, 4), squares)
        ]
        for each in (torch.float16, torch.float32)
    )
    assert found == plain


def predictor_of(
    network: ResidualClassifier, precision: torch.dtype = torch.float32
) -> PlainPredictor:
    return PlainPredictor(
        Model(None, network, build.details(), ""), CPU, borders=(0.5,), precision=precision
    )


def test_without_a_locator_it_judges_the_squares() -> None:
    whole = predictor_of(build.network())
    squares = [noise(build.SIDE, build.SIDE) // (1 + number) for number in range(5)]
    found = judged(CudaPredictor(whole, DOUBT, 2), squares)
    require_alike(found, judged(whole, squares), 1e-4)
    assert {scores.count for scores in found} == {None}


@pytest.mark.parametrize("size", [1, 3])
def test_an_answer_does_not_depend_on_its_company(exact: PlainPredictor, size: int) -> None:
    judge = CudaPredictor(exact, DOUBT, 8)
    photos = photographs()
    whole = judged(judge, photos)
    order = [6, 3, 0, 7, 5, 4, 2, 1]
    for start in range(0, len(order), size):
        numbers = order[start : start + size]
        found = judged(judge, [photos[number] for number in numbers])
        require_alike(found, [whole[number] for number in numbers], 1e-4)


# ------------------------------------------------------------------ two batches under way


def test_two_batches_are_under_way_and_keep_apart(exact: PlainPredictor) -> None:
    judge = CudaPredictor(exact, DOUBT, 8)
    photos = photographs()
    batches = [photos[:3], photos[3:], photos[1:2], photos]
    expected = [judged(judge, batch) for batch in batches]
    first, second = judge.begin(batches[0]), judge.begin(batches[1])
    found = [first().scores]
    third = judge.begin(batches[2])
    found.append(second().scores)
    fourth = judge.begin(batches[3])
    assert [*found, third().scores, fourth().scores] == expected


def test_nothing_is_read_before_the_device_says_that_it_is_there(
    exact: PlainPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a device whose results are valid only after a wait."""
    being_moved: list[tuple[Tensor, Tensor]] = []

    def fetched(answer: Tensor) -> Tensor:
        copy = torch.full_like(answer, torch.nan)
        being_moved.append((copy, answer.clone()))
        return copy

    def mark(_: object) -> Callable[[], None]:
        count = len(being_moved)

        def wait() -> None:
            for copy, answer in being_moved[:count]:
                copy.copy_(answer)

        return wait

    monkeypatch.setattr("gdwatch.cuda.cuda_predictor.fetched", torch.inference_mode()(fetched))
    monkeypatch.setattr("gdwatch.cuda.streams.Stream.mark", mark)
    photos = photographs()
    half = shipped(torch.float16)  # has a third thing to wait for
    judge = CudaPredictor(half, DOUBT, 4)
    batches = [photos[:3], photos]
    under_way = [judge.begin(batch) for batch in batches]
    for finish, batch in zip(under_way, batches, strict=True):
        with torch.inference_mode():
            result = finish()
        require_alike(result.scores, judged(exact, batch), DOUBT)
        assert result.splits == 0
    assert len(being_moved) > 5


class Noted:
    """A predictor that notes when each batch was begun and finished."""

    def __init__(self, judge: Predictor) -> None:
        self._judge = judge
        self.depth = judge.depth
        self.notes: list[str] = []
        self._open: deque[int] = deque()

    def begin(self, photos: Sequence[Pixels]) -> Finish:
        finish = self._judge.begin(photos)
        self.notes.append(f"begin {len(photos)}")

        def noted() -> Result:
            self.notes.append(f"finish {len(photos)}")
            return finish()

        return noted


def served(judge: Noted, batches: Sequence[Sequence[Pixels]]) -> list[list[Scores]]:
    """The answers that the service receives when it sends all batches before it reads one."""
    slots = Slots(sum(map(len, batches)), Reduction(610, whole=False))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        slot = 0
        for batch in batches:
            numbers = range(slot, slot + len(batch))
            for number, photo in zip(numbers, batch, strict=True):
                slots.put(number, photo)
            sizes = [photo.shape[1::-1] for photo in batch]
            parent.send(ours, {"slots": list(numbers), "sizes": sizes})
            slot += len(batch)
        process = threading.Thread(target=serve, args=(theirs, slots, judge))
        process.start()
        packets = [parent.receive(ours)[0] for _ in batches]
        ours.shutdown(socket.SHUT_WR)
        process.join()
    slots.close()
    assert all(packet["infer_ms"] > 0 and packet["splits"] == 0 for packet in packets if packet)
    return [[messages.unpacked(each) for each in packet["scores"]] for packet in packets if packet]


def test_the_next_batch_is_begun_before_one_is_finished_and_answers_keep_their_order(
    exact: PlainPredictor,
) -> None:
    photos = photographs()
    batches = [photos[:1], photos[1:3], photos[3:6]]
    ahead, plain = Noted(CudaPredictor(exact, DOUBT, 8)), Noted(exact)
    for found, other in zip(served(ahead, batches), served(plain, batches), strict=True):
        require_alike(found, other, 0.005)
    assert ahead.notes == ["begin 1", "begin 2", "finish 1", "begin 3", "finish 2", "finish 3"]
    assert plain.notes == ["begin 1", "finish 1", "begin 2", "finish 2", "begin 3", "finish 3"]


def test_whole_runs_give_the_same_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [
        build.encode(Image.fromarray(photo), "PNG") for photo in photographs() for _ in range(3)
    ]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # nor in bfloat16
    plain = decisions(tmp_path, contents)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setattr(engine_client, "Child", as_on_a_card)
    found = decisions(tmp_path, contents)
    assert len(found) == len(contents)
    for name, decision in found.items():
        other = plain[name]
        assert (decision.label, decision.faces) == (other.label, other.faces)
        assert decision.p_male == pytest.approx(other.p_male, abs=DOUBT)


def as_on_a_card(module: str, *given: Any, **more: Any) -> child.Child:
    assert module == "gdwatch.processes.engine"
    return child.Child("tests.gdwatch.cuda.card_engine", *given, **more)


def decisions(folder: Path, contents: Sequence[bytes]) -> dict[bytes, Decision]:
    """The decisions by path, in batches of four, so that several batches are under way."""
    opened = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.png"
        path.write_bytes(content)
        opened.append(Opened(build.drop_of(path), os.open(path, os.O_RDONLY)))
    model = str(without_ranges("fast", folder))  # bytes move boxes
    made = build.make_settings(folder, model=model, workers=1, batch_size=4, device="cpu")
    with contextlib.closing(Pipeline(made)) as pipeline:
        judged = [each for batch in drain(pipeline, iter(opened)) for each in batch.judged]
    return {each.opened.drop.path: each.decision for each in judged}


# ------------------------------------------------------------------ where the card's way is none

MEMORY = np.zeros((1, 16), np.uint8)


def test_what_agrees_is_taken(exact: PlainPredictor, capfd: pytest.CaptureFixture[str]) -> None:
    for each in (exact, shipped(torch.float16), predictor_of(build.network())):
        assert isinstance(on_card(each, MEMORY, DOUBT), CudaPredictor)
    assert capfd.readouterr().err == ""


def paler(photos: Sequence[Tensor], squares: Sequence[Crop], side: int) -> Tensor:
    cut = resized_together(photos, squares, side)
    return cut // 2 if side == 64 else cut  # the thumbnails as they were


def darker(*given: object) -> Tensor:
    return thumbnails_together(*given) // 2  # type: ignore[arg-type]


def out_of_memory(*_: object) -> None:
    raise torch.OutOfMemoryError


@pytest.mark.parametrize(
    ("name", "instead", "why"),
    [
        (
            "gdwatch.cuda.cuda_predictor.thumbnails_together",
            darker,
            "Differs('scores of faces differ by",
        ),
        ("gdwatch.cuda.self_test.scores_and_boxes", lambda _: drift(), "Differs('boxes differ by"),
        ("gdwatch.cuda.self_test.resized_together", paler, "Differs('pixels differ by"),
        ("gdwatch.cuda.cuda_predictor.resized_together", paler, "Differs('probabilities differ by"),
        (
            "gdwatch.cuda.cuda_predictor.CudaPredictor._logits_and_sharpness",
            lambda *_: torch.full((128, 3), 9.0),
            "Differs('probabilities differ",
        ),
        ("gdwatch.cuda.cuda_predictor.sharpness", lambda _: torch.zeros(3), "RuntimeError"),
        ("gdwatch.cuda.self_test.pin", out_of_memory, "OutOfMemoryError"),
    ],
)
def test_what_disagrees_or_fails_is_told_in_a_line_and_done_without(
    exact: PlainPredictor,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    instead: object,
    why: str,
) -> None:
    monkeypatch.setattr(name, instead)
    assert on_card(exact, MEMORY, DOUBT) is exact
    said = capfd.readouterr().err
    assert said.startswith("gdwatch: cpu: judged the plain way, which is slower: ")
    assert why in said
    assert said.count("\n") == 1


MOVED = iter(range(1000))


def drift() -> tuple[Tensor, Tensor]:
    """The same scores at each call, and boxes that are two pixels further on."""
    return torch.zeros(5, 400), torch.full((5, 400, 4), 2.0 * next(MOVED))


def test_full_precision_is_tried_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    half = shipped(torch.float16)
    monkeypatch.setattr(half.exact, "forward", lambda batch: torch.full((len(batch), 2), 9.0))
    assert on_card(half, MEMORY, DOUBT) is half
    assert "Differs('probabilities in float32 differ by" in capfd.readouterr().err


def test_the_pictures_of_the_trial_lie_where_the_card_reads_by_itself(
    exact: PlainPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[Pixels] = []
    enqueued: list[Pixels] = []
    enqueue = CudaPredictor.enqueue

    def noted(pixels: Pixels, device: torch.device) -> Pixels:
        assert device == CPU
        locked.append(pixels.copy())
        return locked[-1]

    monkeypatch.setattr(self_test, "pinned", noted)
    monkeypatch.setattr(
        CudaPredictor,
        "enqueue",
        lambda card, photos: enqueued.extend(photos) or enqueue(card, photos),
    )
    assert isinstance(on_card(exact, MEMORY, DOUBT), CudaPredictor)
    assert list(map(id, enqueued)) == list(map(id, locked))
    assert enqueued


def test_only_for_a_card_is_memory_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(5, 4)
    assert pinned(pixels, CPU) is pixels
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor + 1)
    assert np.array_equal(pinned(pixels, torch.device("cuda")), pixels + 1)


def test_a_card_that_can_do_nothing_any_more_is_not_said_to_be_ready(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def dead(device: torch.device) -> None:
        assert device == torch.device("cuda")
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    whole = predictor_of(build.network())
    whole.device = torch.device("cuda")
    monkeypatch.setattr(self_test, "pin", out_of_memory)
    monkeypatch.setattr(torch.cuda, "synchronize", dead)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        on_card(whole, MEMORY, DOUBT)
    assert "judged the plain way" in capfd.readouterr().err


@pytest.mark.parametrize("dies", ["at the start", "of a batch"])
def test_once_an_engine_has_died_the_next_one_goes_the_plain_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], dies: str
) -> None:
    contents = [build.encode(Image.fromarray(photo), "PNG") for photo in photographs()]
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("CARD_DIES", dies)
    monkeypatch.setattr(engine_client, "Child", as_on_a_card)
    assert len(decisions(tmp_path, contents)) == len(contents)
    said = capfd.readouterr().err
    assert said.count("Fatal Python error: Aborted") == 1
    assert said.count("judged the plain way, which is slower: an engine before this one") == 1


def test_a_batch_without_room_is_judged_in_halves_and_the_next_one_again_on_the_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = predictor_of(build.network())
    squares = [noise(build.SIDE, build.SIDE) // (1 + number) for number in range(5)]
    plain = judged(whole, squares)
    judge = CudaPredictor(whole, DOUBT, 8)
    real = whole.classifier.forward
    full = True
    sizes = []

    def forward(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if full and len(batch) > 3:
            raise torch.OutOfMemoryError
        return real(batch)

    monkeypatch.setattr(whole.classifier, "forward", forward)
    result = judge.begin(squares)()
    assert sizes == [8, 5, 2, 3]
    assert result.splits == 2
    require_alike(result.scores, plain, 1e-4)
    full = False
    sizes.clear()
    require_alike(judged(judge, squares), plain, 1e-4)
    assert sizes == [8]


@pytest.mark.parametrize("step", ["enqueue", "_judged"])
def test_once_the_card_has_failed_everything_is_judged_the_plain_way(
    exact: PlainPredictor,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    step: str,
) -> None:
    photos = photographs()[:3]
    plain = judged(exact, photos)
    judge = CudaPredictor(exact, DOUBT, 2)
    under_way = [judge.begin(photos), judge.begin(photos)]
    calls = []

    def fail(*_: object) -> None:
        calls.append(step)
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(judge, step, fail)
    under_way.append(judge.begin(photos))
    for finish in under_way:
        result = finish()
        require_alike(result.scores, plain, 1e-4)
        assert result.splits == 0
    assert len(calls) == 1
    assert capfd.readouterr().err.count("unspecified launch failure") == 1
