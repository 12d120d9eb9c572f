"""The other pages: the overview, one photograph's story, and the rejected files."""

import pytest

from tests import build
from tests.gdwatch.ui.conftest import Page

pytestmark = pytest.mark.timeout(60)


def test_the_overview_says_what_the_service_does_and_what_was_filed(page: Page) -> None:
    text = build.wait_until(
        lambda: "Thirty days" in (text := page.browser.get("/").text) and text, "the counts"
    )
    assert "<dd>stopped</dd>" in text
    assert "<dt>unsure</dt><dd>3</dd>" in text
    assert text.count("/small") == 6


def test_the_overview_says_that_more_may_wait_than_it_had_time_to_count(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.put(page.world.root, "waits.png", b"1")
    monkeypatch.setattr("gdwatch.ui.counts.PATIENCE_S", -1.0)
    build.wait_until(lambda: '<dd class="soft">or more</dd>' in page.browser.get("/").text)


def test_a_photographs_page_tells_its_story(page: Page) -> None:
    page.browser.load()
    page.browser.say(page.browser.next()["photographs"][0], "male")
    page.filed("a.png", "male/trip/a.png")
    text = page.browser.get("/photographs/1").text
    for words in ("unsure/trip/a.png → male/trip/a.png", "male, by a command", "low_confidence"):
        assert words in text, words


def test_a_rejected_file_can_be_judged_again_and_saved(page: Page) -> None:
    text = page.browser.get("/rejected").text
    assert "The file ends before its picture does." in text
    assert "Drop a whole copy: the upload was cut." in text
    assert 'data-act="/photographs/6/requeue"' in text
    assert page.browser.get("/photographs/6/file").body == b"no picture"
