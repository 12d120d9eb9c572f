import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdwatch.errors import GdwatchError
from gdwatch.inference import model, model_file
from gdwatch.jobs.explain import Explainer, Seer
from gdwatch.settings import Settings, load
from gdwatch.values import Box, Decision, Header, Judged, Opened, Photo, Refusal
from tests import build

pytest.importorskip("captum")


@pytest.fixture
def settings() -> Settings:
    return load({}, None).settings


def test_a_panel_for_each_picture_that_was_judged(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a b.jpg").write_bytes(build.astronaut())
    (folder / "c.png").write_bytes(b"no picture")
    (folder / "d.jpg").write_bytes(build.grace_hopper())
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gdwatch",
            "classify",
            folder,
            "--explain",
            tmp_path / "panels",
            "--set=workers=1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    panels = sorted(path.name for path in (tmp_path / "panels").iterdir())
    assert panels == ["00001-a_b.jpg.png", "00003-d.jpg.png"]
    with Image.open(tmp_path / "panels" / panels[0]) as panel:
        colours = np.asarray(panel.convert("RGB")).reshape(-1, 3)
    assert (colours == (255, 200, 0)).all(1).any()  # the box


@pytest.fixture
def explainer(settings: Settings, tmp_path: Path, said: list[tuple[bytes, str]]):
    with closing(Explainer(settings, tmp_path / "panels", lambda *told: said.append(told))) as made:
        yield made


@pytest.fixture
def said() -> list[tuple[bytes, str]]:
    """What it complains of: paths, and why."""
    return []


@pytest.fixture(scope="module", params=["fast", "accurate"])
def seer(request: pytest.FixtureRequest) -> Seer:
    return Seer(model.load(model_file.read(model_file.find(request.param))))


def test_what_spoke_for_an_answer_lies_within_the_crop(seer: Seer) -> None:
    side = seer.square(np.zeros((9, 9, 3), np.uint8), None).shape[0]
    square = np.asarray(Image.effect_noise((side, side), 60).convert("RGB"))
    heat = seer.evidence(square)
    assert (heat.shape, heat.dtype) == ((side, side), np.float32)
    assert heat.min() >= 0
    assert heat.max() in (0, 1)


def test_the_crop_is_the_service_s(seer: Seer) -> None:
    photo = Image.new("RGB", (1000, 750), "white")
    photo.paste((0, 0, 0), (250, 250, 350, 350))
    square = seer.square(np.asarray(photo), Box(250, 250, 100, 100))
    black = (square.mean(2) < 128).mean()
    assert black == pytest.approx(1 / 1.4**2, abs=0.03)  # the margin


def judged(
    stack: ExitStack,
    path: Path,
    size: tuple[int, int],
    box: Box | None = None,
    model: str = "fast",
) -> Judged:
    """As if a worker had decoded the file."""
    file = stack.enter_context(path.open("rb"))
    header = Header(*size, "PNG")
    decision = Decision("male", None, "male", 0.9, 0.9, 1, box)
    photo = Photo("0" * 64, header, size, 1.0)
    serving = replace(build.serving(), sha256=model_file.read(model_file.find(model)).sha256)
    return Judged(Opened(build.drop_of(path), file.fileno()), photo, decision, serving)


def test_what_harms_when_it_is_decoded_again_harms_a_worker_and_the_others_are_drawn(
    settings: Settings, tmp_path: Path, said: list[tuple[bytes, str]]
) -> None:
    contents = {
        "large.png": build.slow_photograph(),  # 60 megapixels are more than the worker's memory
        "text.png": b"no picture any more",
        "fine.png": build.photograph(1),
    }
    little = settings.model_copy(update={"worker_memory_mb": 256})
    told = lambda *words: said.append(words)  # noqa: E731
    with ExitStack() as stack:
        explainer = stack.enter_context(closing(Explainer(little, tmp_path / "panels", told)))
        panels = []
        for number, (name, content) in enumerate(contents.items()):
            (tmp_path / name).write_bytes(content)
            panels.append(explainer.panel(number, judged(stack, tmp_path / name, (48, 40))))
        workers = [what for what in build.children(os.getpid()).values() if "worker" in what]
        assert workers == ["gdwatch.processes.worker"]
    assert panels == [None, None, tmp_path / "panels" / "00003-fine.png.png"]
    assert [Path(os.fsdecode(path)).name for path, _ in said] == ["large.png", "text.png"]
    assert all(why.startswith("not explained: ") for _, why in said)


def test_a_picture_that_ends_its_worker_stops_no_other(
    explainer: Explainer, tmp_path: Path, said: list[tuple[bytes, str]]
) -> None:
    """Twice: a worker that dies of it is replaced, and so is the next."""
    (tmp_path / "a.png").write_bytes(build.slow_photograph())
    (tmp_path / "b.png").write_bytes(build.photograph(1))
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        first = judged(stack, tmp_path / "a.png", (8000, 7500))
        panel = threads.submit(explainer.panel, 0, first)
        killed: set[int] = set()
        while len(killed) < 2 and not panel.done():
            for worker in explainer._decoder._workers.workers:
                if worker.ready and worker.tasks and worker.child.process.pid not in killed:
                    killed.add(worker.child.process.pid)
                    os.kill(worker.child.process.pid, signal.SIGKILL)
        assert panel.result(build.DEADLINE_S) is None
        assert explainer.panel(1, judged(stack, tmp_path / "b.png", (48, 40))) is not None
    ((path, why),) = said
    assert path.endswith(b"/a.png")
    assert why == "not explained: a worker process died of it twice, or took too long"


@pytest.mark.parametrize("name", ["fast", "whole"])
def test_the_box_is_drawn_where_the_face_is(tmp_path: Path, name: str) -> None:
    settings = load({"model": name}, None).settings
    Image.new("RGB", (4000, 3000), "white").save(tmp_path / "a.png")
    box = Box(1000, 750, 2000, 1500)  # the middle half
    with ExitStack() as stack:
        explainer = stack.enter_context(closing(Explainer(settings, tmp_path, complain)))
        path = explainer.panel(0, judged(stack, tmp_path / "a.png", (4000, 3000), box, name))
    assert path is not None
    with Image.open(path) as panel:
        drawn = (np.asarray(panel.convert("RGB")) == (255, 200, 0)).all(2).nonzero()
    down, across = ((axis.min() - 8, axis.max() - 8) for axis in drawn)
    assert across == pytest.approx((72, 216), abs=3)  # of 288 pixels
    assert down == pytest.approx((54, 162), abs=3)  # of 216


def complain(path: bytes, why: str) -> None:
    pytest.fail(f"{path!r}: {why}")


def test_a_refused_file_has_no_panel_and_a_folder_that_cannot_be_made_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"")
    with path.open("rb") as file:
        opened = Opened(build.drop_of(path), file.fileno())
        refused = Judged(
            opened, Refusal("empty", ""), Decision("rejected", "empty"), build.serving()
        )
        with closing(Explainer(settings, tmp_path, complain)) as explainer:
            assert explainer.panel(0, refused) is None
    with pytest.raises(GdwatchError, match="name another folder"):
        Explainer(settings, path, complain)
