"""The explanation of a photograph, made in a process of its own when somebody asks."""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

from tests import build
from tests.gdwatch.ui.conftest import Page, make_world, page_of, ui_settings

pytest.importorskip("captum")
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def page(root: Path, model: Path) -> Iterator[Page]:
    with ExitStack() as stack:
        world = make_world(root, stack)
        world.record_file("a.png", build.photograph(1), "unsure")
        world.record_file("gone.png", build.photograph(2), "unsure")
        world.record_file("broken.png", b"no picture", "rejected")
        world.file()
        settings = ui_settings(root, model=str(model))
        yield Page(world, stack.enter_context(page_of(settings)))


def test_where_the_model_looked_is_shown_on_demand(page: Page) -> None:
    answer = page.browser.get("/photographs/1/explanation")
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.body)) as panel:
        assert panel.width > 3 * 288, "the photograph, what was seen of it, and the heat"
    assert "/photographs/1/explanation" in page.browser.get("/photographs/1").text
    assert "/photographs/3/explanation" not in page.browser.get("/photographs/3").text


def test_what_cannot_be_explained_says_why(page: Page) -> None:
    (page.world.root / "unsure" / "gone.png").unlink()
    answer = page.browser.get("/photographs/2/explanation", Accept="application/json")
    assert (answer.status, answer.json["error"]) == (409, "id 2: its file has been taken away")
    assert page.browser.get("/photographs/9/explanation").status == 404
