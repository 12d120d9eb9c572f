"""The page in a real browser: by keyboard, by mouse, on a phone; what a person sees and gets.

They need Chromium, and are skipped without.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gdwatch.files.users import own_name
from tests import build
from tests.gdwatch.ui.conftest import Page, make_world, page_of, set_threshold, ui_settings

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here"),
]

COUNT = 35
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PAGES = (
    "/review",
    "/review/many",
    "/",
    "/rejected",
    "/search",
    "/photographs/1",
    "/photographs/99",
    "/sign-in",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Unsure photographs with markup in their names, and a rejected file."""
    with ExitStack() as stack:
        world = make_world(build.make_root(tmp_path_factory.mktemp("browser") / "root"), stack)
        for number in range(COUNT):
            content = build.encode(Image.fromarray(build.pixels(number, size=(640, 480))), "JPEG")
            world.record_file(f"<i>{number:02}.jpg", content, "unsure")
        world.record_file("<b>.png", b"no picture", "rejected")
        world.file()
        yield Page(world, stack.enter_context(page_of(ui_settings(world.root))))


def opened(chromium: Any, page: Page, path: str = "/review", **options: Any) -> Any:
    """A tab; an error on the page fails the test that uses it."""
    context = chromium.new_context(viewport=DESKTOP, **options)
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    tab.errors = []
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("console", lambda said: tab.errors.append(said.text) if said.type == "error" else None)
    tab.goto(f"http://{page.browser.host}:{page.browser.port}{path}")
    return tab


def decided(page: Page) -> list[tuple[Any, ...]]:
    """The standing verdicts, by id of the file."""
    asked = """SELECT f.id, c.label, c."by" FROM files f JOIN corrections c ON c.id =
               (SELECT max(id) FROM corrections WHERE file_id = f.id) WHERE c.label IS NOT NULL
               ORDER BY f.id"""
    return [tuple(row.values()) for row in build.query(page.world.root, asked)]


def wait_for_decided(page: Page, count: int) -> list[tuple[Any, ...]]:
    def all_filed() -> bool:
        return len(decided(page)) == count and {row["state"] for row in page.world.rows()} == {
            "filed"
        }

    build.wait_until(all_filed, f"{count} decided")
    return decided(page)


def seen(tab: Any, but: str = "") -> str:
    """Wait until a photograph is there to be seen, another one than `but`; return its id."""
    desk = tab.locator(f"#desk[data-ready]:not([data-ready=''], [data-ready='{but}'])")
    return str(desk.get_attribute("data-ready"))


def test_a_person_decides_by_keyboard_mouse_and_phone(chromium: Any, page: Page) -> None:
    tab, last = opened(chromium, page), ""
    for number in range(20):
        last = seen(tab, last)
        tab.keyboard.press("fmnr"[number % 4])
    twenty = wait_for_decided(page, 20)
    labels = ("female", "male", "neither", "reject")
    assert twenty == [(n + 1, labels[n % 4], own_name()) for n in range(20)]
    assert "20 decided, 15 to go" in tab.locator("#progress").text_content()

    last = seen(tab, last)
    tab.keyboard.press("u")
    assert [row[0] for row in wait_for_decided(page, 19)] == list(range(1, 20))
    assert seen(tab, last) == "20"
    last = ""
    for verdict in ("male", "female") * 5:
        last = seen(tab, last)
        tab.locator(f"[data-verdict={verdict}]").click()
    wait_for_decided(page, 29)
    assert tab.errors == []
    tab.context.close()

    phone, last = opened(chromium, page, is_mobile=True, has_touch=True), ""
    phone.set_viewport_size(PHONE)
    for verdict in ("neither", "male", "female", "reject", "male"):
        last = seen(phone, last)
        button = phone.locator(f"[data-verdict={verdict}]")
        box = button.bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"], "a thumb reaches it without scrolling"
        button.tap()
    wait_for_decided(page, 34)
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.context.close()

    for row in page.world.rows()[:34]:
        assert (page.world.root / row["path"]).is_file()

    one, other = opened(chromium, page), opened(chromium, page)
    assert seen(one) == seen(other) == "35"
    one.keyboard.press("m")
    wait_for_decided(page, 35)
    other.keyboard.press("f")
    assert "somebody has decided it" in other.locator("#trouble:not(:empty)").text_content()
    assert decided(page)[-1][:2] == (35, "male")
    assert one.locator("#done").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_every_page(chromium: Any, page: Page, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab = opened(chromium, page, color_scheme=scheme, bypass_csp=True)
    for path in PAGES:
        tab.goto(f"http://{page.browser.host}:{page.browser.port}{path}")
        for size in (DESKTOP, PHONE):
            tab.set_viewport_size(size)
            found = axe.run(tab)
            assert found.violations_count == 0, f"{path} {size}: {found.generate_report()}"
            assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"], path
    tab.context.close()


def test_every_page_keeps_to_its_policy_and_shows_names_as_text(chromium: Any, page: Page) -> None:
    tab = opened(chromium, page)
    for path in PAGES[:6]:
        tab.goto(f"http://{page.browser.host}:{page.browser.port}{path}")
        assert tab.locator("main i, main b").count() == 0
    assert [error for error in tab.errors if "Content Security Policy" in error] == []
    tab.context.close()


@pytest.fixture
def fresh(root: Path) -> Iterator[Page]:
    """A page of its own: unsure photographs, and with `male` one that was filed."""
    with ExitStack() as stack:
        world = make_world(root, stack)
        for number in range(12):
            world.record_file(f"{number:02}.png", build.photograph(number), "unsure")
        world.record_file("m.png", build.photograph(99), "male")
        world.file()
        set_threshold(world, 0.9)
        yield Page(world, stack.enter_context(page_of(ui_settings(world.root))))


def test_many_are_chosen_and_get_one_verdict(chromium: Any, fresh: Page) -> None:
    tab = opened(chromium, fresh, "/review/many")
    boxes = tab.locator("#grid input")
    sync_api.expect(boxes).to_have_count(12)
    assert tab.locator("[data-verdict=male]").is_disabled()
    boxes.nth(0).click()
    boxes.nth(3).click(modifiers=["Shift"])
    tab.keyboard.press("m")
    sync_api.expect(boxes).to_have_count(8)
    boxes.nth(0).focus()
    tab.keyboard.press("Space")
    tab.keyboard.press("f")
    sync_api.expect(boxes).to_have_count(7)
    by = own_name()
    men = [(number, "male", by) for number in (1, 2, 3, 4)]
    assert wait_for_decided(fresh, 5) == [*men, (5, "female", by)]
    tab.keyboard.press("u")
    sync_api.expect(boxes).to_have_count(8)
    tab.keyboard.press("u")
    sync_api.expect(boxes).to_have_count(12)
    wait_for_decided(fresh, 0)
    tab.keyboard.press("a")
    tab.locator("[data-verdict=neither]").click()
    sync_api.expect(tab.locator("#done")).to_be_visible()
    assert len(wait_for_decided(fresh, 12)) == 12
    assert tab.errors == []
    tab.context.close()


def test_another_threshold_is_tried_by_key_and_by_dragging(chromium: Any, fresh: Page) -> None:
    tab = opened(chromium, fresh)
    seen(tab)
    tab.keyboard.press("m")
    wait_for_decided(fresh, 1)
    tab.goto(f"http://{fresh.browser.host}:{fresh.browser.port}/")
    tab.locator("#threshold").focus()
    tab.keyboard.press("ArrowLeft")
    would = tab.locator("#would")
    sync_api.expect(would).to_contain_text("At 89.5 %: 0 that are unsure would be filed.")
    chart = tab.locator("svg:has(#tried)")
    chart.hover(position={"x": 1, "y": 20})
    tab.mouse.down()
    tab.mouse.up()
    sync_api.expect(would).to_contain_text("11 that are unsure would be filed.")
    sync_api.expect(would).to_contain_text("the model was right in 1, 100 %")
    chart.hover(position={"x": chart.bounding_box()["width"] - 1, "y": 20})
    tab.mouse.down()
    tab.mouse.up()
    sync_api.expect(would).to_contain_text("1 that is filed would be unsure.")
    assert "gdtrain tune" in tab.locator("#train").text_content()
    assert tab.errors == []
    tab.context.close()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_are_reviewed_by_keyboard_alone(chromium: Any, root: Path) -> None:
    with ExitStack() as stack:
        world = make_world(root, stack)
        for number in range(100):
            world.record_file(f"{number:02}.png", build.photograph(number), "unsure")
        world.file()
        page = Page(world, stack.enter_context(page_of(ui_settings(root))))
        tab, last = opened(chromium, page), ""
        for number in range(100):
            last = seen(tab, last)
            tab.keyboard.press("fmnr"[number % 4])
        sync_api.expect(tab.locator("#done")).to_be_visible()
        labels = ("female", "male", "neither", "reject")
        folders = ("female", "male", "unsure", "rejected")
        expected = [(n + 1, labels[n % 4], own_name()) for n in range(100)]
        assert wait_for_decided(page, 100) == expected
        for number, row in enumerate(world.rows()):
            assert row["path"] == f"{folders[number % 4]}/{number:02}.png"
            assert (root / row["path"]).is_file()
        tab.context.close()
