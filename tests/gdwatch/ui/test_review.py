"""Verdicts on the page: recorded as by `gdwatch correct`, with the person's name, and filed."""

from typing import Any

import pytest

from gdwatch.files.users import own_name
from tests import build
from tests.gdwatch.ui.conftest import Page

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    ("verdict", "path"),
    [
        ("female", "female/trip/a.png"),
        ("male", "male/trip/a.png"),
        ("neither", "unsure/trip/a.png"),
        ("reject", "rejected/trip/a.png"),
    ],
)
def test_a_verdict_is_recorded_with_the_name_and_the_file_is_moved(
    page: Page, verdict: str, path: str
) -> None:
    page.browser.load()
    first = page.browser.next()["photographs"][0]
    assert page.browser.say(first, verdict).status == 200
    page.filed("a.png", path)
    assert page.words() == [(first["id"], verdict, own_name())]


def test_a_photograph_with_a_verdict_waits_no_more(page: Page) -> None:
    page.browser.load()
    waiting = page.browser.next()["photographs"]
    assert [each["name"] for each in waiting] == ["a.png", "b.png", "c.png"]
    page.browser.say(waiting[1], "neither")
    assert [each["name"] for each in page.browser.next()["photographs"]] == ["a.png", "c.png"]


def test_a_verdict_is_taken_back_with_its_file(page: Page) -> None:
    page.browser.load()
    first = page.browser.next()["photographs"][0]
    command = page.browser.say(first, "male").json["command"]
    page.filed("a.png", "male/trip/a.png")
    (now,) = page.browser.post(f"/undo/{command}").json["photographs"]
    page.filed("a.png", "unsure/trip/a.png")
    assert [label for _, label, _ in page.words()] == ["male", None]
    assert page.browser.say(now, "female").status == 200
    page.filed("a.png", "female/trip/a.png")


def test_gdwatch_undo_takes_a_verdict_of_the_page_back(page: Page) -> None:
    page.browser.load()
    page.browser.say(page.browser.next()["photographs"][0], "male")
    page.filed("a.png", "male/trip/a.png")
    ended = build.gdwatch("undo", f"--root={page.world.root}", cwd=page.world.root)
    assert ended.returncode == 0, ended.stderr
    page.filed("a.png", "unsure/trip/a.png")


def test_of_two_people_at_the_same_photograph_the_second_is_told(page: Page) -> None:
    page.browser.load()
    first = page.browser.next()["photographs"][0]
    assert page.browser.say(first, "male").status == 200
    second = page.browser.say(first, "female")
    assert second.status == 409
    assert "somebody has decided it" in second.json["error"]
    assert [label for _, label, _ in page.words()] == ["male"]


def test_nobody_takes_back_what_another_has_said(page: Page) -> None:
    page.browser.load()
    ended = build.gdwatch(
        "correct", "1", "male", f"--root={page.world.root}",
        cwd=page.world.root, env=build.environment(LOGNAME="another"),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (command,) = build.query(page.world.root, "SELECT id FROM commands WHERE name = 'correct'")
    answer = page.browser.post(f"/undo/{command['id']}")
    assert (answer.status, answer.json["error"]) == (
        409, "undo: no command is left to take back"
    )  # fmt: skip
    assert page.paths()["a.png"] == "male/trip/a.png"


def test_a_file_whose_bytes_have_changed_is_refused_as_by_the_command(page: Page) -> None:
    page.browser.load()
    first = page.browser.next()["photographs"][0]
    (page.world.root / "unsure/trip/a.png").write_bytes(b"other bytes")
    answer = page.browser.say(first, "male")
    assert answer.status == 409
    assert "its bytes are not those that were judged" in answer.json["error"]
    assert page.words() == []


def test_among_the_filed_the_least_sure_come_first(page: Page) -> None:
    page.browser.load("/review?outcome=male")
    (found,) = page.browser.next("outcome=male")["photographs"]
    assert (found["name"], found["guess"], found["confidence"]) == ("m.png", "male", 0.98)
    assert page.browser.say(found, "female").status == 200
    page.filed("m.png", "female/m.png")
    assert page.browser.next("outcome=male")["photographs"] == []


def test_the_page_says_the_guess_the_reason_and_how_many_wait(page: Page) -> None:
    text = page.browser.load().text
    assert 'data-waiting="3"' in text
    assert "The model is not sure." in text


@pytest.mark.parametrize(
    "query",
    ["outcome=inbox", "order=id", "reason=boredom", "after=7", "after=[true,1]", "after=[0.5,1e99]",
     "after={", "after=[0.5,9223372036854775808]", "order=folder&after=[1]"],
)  # fmt: skip
def test_a_queue_that_is_none_is_refused(page: Page, query: str) -> None:
    assert page.browser.get(f"/review/next?{query}").status == 409


@pytest.mark.parametrize("given", [[], "female", {"verdict": "maybe"}, {"verdict": ["male"]}, {}])
def test_a_verdict_that_is_none_is_refused(page: Page, given: object) -> None:
    page.browser.load()
    assert page.browser.post("/photographs/1/verdict", given).status == 400
    assert page.words() == []


def seen_of(waiting: list[dict[str, Any]]) -> dict[int, str]:
    return {each["id"]: each["seen"] for each in waiting}


def test_one_verdict_on_many_is_one_command_that_one_undo_takes_back(page: Page) -> None:
    page.browser.load("/review/many")
    waiting = page.browser.next("many=1")["photographs"]
    seen = seen_of(waiting)
    page.browser.say(waiting[1], "neither")
    said = page.browser.post("/verdicts", {"verdict": "male", "seen": seen}).json
    assert said["ids"] == [1, 3]
    assert said["refused"] == ["b.png: somebody has decided it, or it is being moved"]
    for name in "ac":
        page.filed(f"{name}.png", f"male/trip/{name}.png")
    assert page.words()[1:] == [(1, "male", own_name()), (3, "male", own_name())]
    back = page.browser.post(f"/undo/{said['command']}").json["photographs"]
    assert [each["id"] for each in back] == [1, 3]
    for name in "ac":
        page.filed(f"{name}.png", f"unsure/trip/{name}.png")


@pytest.mark.parametrize(
    ("seen", "status"),
    [({}, 400), ([1], 400), ({"1": 7}, 400), ({str(n): "1-0" for n in range(1, 90)}, 400),
     ({"99": "1-0"}, 404), ({"-1": "1-0"}, 404), ({"9" * 5000: "1-0"}, 404)],
    ids=range(7),
)  # fmt: skip
def test_many_that_are_none_are_refused(page: Page, seen: object, status: int) -> None:
    page.browser.load()
    answer = page.browser.post("/verdicts", {"verdict": "male", "seen": seen})
    assert answer.status == status
    assert page.words() == []


def test_a_verdict_and_its_command_are_one_transaction(page: Page) -> None:
    page.browser.load()
    first = page.browser.next()["photographs"][0]
    assert page.browser.say({**first, "seen": "another"}, "male").status == 409
    assert build.query(page.world.root, "SELECT * FROM commands WHERE name = 'correct'") == []
