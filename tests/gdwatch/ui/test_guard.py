"""Attacks: what other sites, strangers, slow clients and hostile names try."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from gdwatch.errors import ActionNeeded
from gdwatch.ui import guard, patience
from gdwatch.ui.access import Access
from gdwatch.ui.guard import Rate
from tests import build
from tests.gdwatch.ui.conftest import Browser, Page, make_world, page_of, ui_settings

pytestmark = pytest.mark.timeout(60)

TOKEN = "0123456789abcdefghij"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost@evil", ""]
)
def test_a_name_that_was_rebound_to_our_address_is_refused(page: Page, host: str) -> None:
    answer = page.browser.get("/review", Host=host.format(port=page.browser.port))
    assert answer.status == 421
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "localhost:80"])
def test_the_names_of_this_machine_are_ours(page: Page, host: str) -> None:
    assert page.browser.get("/review", Host=host).status == 200


@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_an_act_without_the_pages_token_changes_nothing(page: Page, token: str | None) -> None:
    page.browser.load()
    photograph = page.browser.next()["photographs"][0]
    page.browser.csrf = token
    assert page.browser.say(photograph, "male").status == 403
    assert page.words() == []


def test_a_token_of_another_session_is_refused(page: Page) -> None:
    page.browser.load()
    other = Browser(page.browser.host, page.browser.port)
    other.load()
    other.csrf = page.browser.csrf
    assert other.post("/photographs/1/requeue").status == 403


def test_a_forged_cookie_is_no_session(page: Page) -> None:
    page.browser.load()
    name, _, value = (page.browser.cookie or "").partition("=")
    page.browser.cookie = f"{name}={value[::-1]}"
    assert page.browser.post("/photographs/1/requeue").status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_an_act_that_another_site_asks_for_is_refused(page: Page, headers: dict[str, str]) -> None:
    page.browser.load()
    assert page.browser.post("/photographs/1/requeue", **headers).status == 403


def test_another_site_may_link_here_but_embeds_no_picture(page: Page) -> None:
    foreign = {"Sec_Fetch_Site": "cross-site"}
    assert page.browser.get("/review", Sec_Fetch_Mode="navigate", **foreign).status == 200
    assert page.browser.get("/pictures/1/small", Sec_Fetch_Mode="no-cors", **foreign).status == 403


def test_every_answer_forbids_what_it_does_not_need(page: Page) -> None:
    for path in ("/review", "/static/style.css", "/pictures/1/small", "/nowhere", "/review/next"):
        headers = page.browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
    cookie = page.browser.get("/review", Cookie="x=y").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


NO_FILES = (
    "/static/..%2fapp.py", "/static/../app.py", "/static/app.py", "/pictures/..%2f1/small",
    "/pictures/1/..%2flarge", "/pictures/-1/small", "/photographs/1%00/file",
    "/pictures/99999999999999999999999/small", "/pictures/99/small", "/photographs/99",
)  # fmt: skip


@pytest.mark.parametrize("path", NO_FILES)
def test_a_path_is_never_that_of_a_file(page: Page, path: str) -> None:
    assert page.browser.get(path).status == 404


def test_a_photograph_of_another_root_is_not_there(page: Page) -> None:
    page.browser.load()
    photograph = page.browser.next()["photographs"][0]
    with page.world.ledger.writing() as transaction:
        run = transaction.connection.exec_driver_sql
        run("INSERT INTO roots (id, uuid, first_used_at) VALUES (9, 'x', '2026-01-01 00:00:00')")
        run("UPDATE files SET root_id = 9 WHERE id = 1")
    assert page.browser.get("/pictures/1/small").status == 404
    assert page.browser.get("/photographs/1/file").status == 404
    assert page.browser.say(photograph, "male").status == 404
    assert page.browser.post("/photographs/1/requeue").status == 404


@pytest.mark.parametrize("length", [None, "99999999", "-1", "many"])
def test_a_body_that_is_too_long_is_refused(page: Page, length: str | None) -> None:
    page.browser.load()
    body = b"x" * (65 * 1024) if length is None else b"{}"
    sent = {} if length is None else {"Content_Length": length}
    answer = page.browser.ask(
        "POST", "/photographs/1/requeue", body, X_CSRF_Token=page.browser.csrf or "", **sent
    )
    assert answer.status in (400, 413)


def test_a_body_in_chunks_is_counted(page: Page) -> None:
    page.browser.load()
    head = (
        f"POST /sign-in HTTP/1.1\r\nHost: {page.browser.host}\r\nCookie: {page.browser.cookie}\r\n"
        f"X-CSRF-Token: {page.browser.csrf}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with closing(connected(page.browser)) as client:
        client.sendall(head.encode() + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 3)
        assert client.recv(1000).startswith(b"HTTP/1.1 413")


def connected(browser: Browser) -> socket.socket:
    return socket.create_connection((browser.host, browser.port), timeout=30)


def test_a_client_that_sends_too_slowly_is_hung_up_on(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_S", 0.2)
    with closing(connected(page.browser)) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionResetError):
            raise ConnectionResetError if client.recv(1) == b"" else AssertionError


def test_a_body_that_comes_too_slowly_is_refused(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.browser.load()
    monkeypatch.setattr(guard, "BODY_S", 0.2)
    head = (
        f"POST /sign-in HTTP/1.1\r\nHost: {page.browser.host}\r\nCookie: {page.browser.cookie}\r\n"
        f"X-CSRF-Token: {page.browser.csrf}\r\nContent-Length: 10\r\n\r\n{{"
    )
    with closing(connected(page.browser)) as client:
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 408")


def test_tokens_cannot_be_guessed_fast(page: Page) -> None:
    page.browser.load()
    found = {page.browser.post("/sign-in", {"token": "x"}).status for _ in range(30)}
    assert found == {403, 429}


def test_a_rate_allows_a_burst_and_then_so_many_a_second() -> None:
    rate = Rate(2, 3)
    assert [rate.allows("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert rate.allows("b", 0.0)
    assert [rate.allows("a", 1.0) for _ in range(3)] == [True, True, False]


# ------------------------------------------------------------------------- names with markup


@pytest.fixture
def odd(root: Path) -> Iterator[Page]:
    """Photographs whose names are markup, quotes and bytes that are no UTF-8."""
    with ExitStack() as stack:
        world = make_world(root, stack)
        names = (b"<img src=x onerror=alert(1)>.png", b"\"'><script>alert(1)<.png", b"\xff\r\nX: y")
        for number, name in enumerate(names):
            world.record_file(name, build.photograph(number), "unsure")
        world.record_file(
            b'"\r\nSet-Cookie: a=b\xff;.html', b"<script>alert(1)</script>", "rejected"
        )
        world.file()
        yield Page(world, stack.enter_context(page_of(ui_settings(root))))


def test_names_with_markup_are_text_everywhere(odd: Page) -> None:
    seen = ""
    pages = ("/review", "/", "/search", "/rejected", *(f"/photographs/{n}" for n in range(1, 5)))
    for path in pages:
        text = odd.browser.get(path).text
        seen += text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "\r" not in text, path
    assert "&lt;script&gt;alert(1)" in seen


def test_a_rejected_file_is_handed_out_to_be_saved_and_never_shown(odd: Page) -> None:
    answer = odd.browser.get("/photographs/4/file")
    assert answer.body == b"<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''%22%0D%0ASet-Cookie%3A%20a%3Db%FF%3B.html"
    )
    assert "set-cookie" not in odd.browser.get("/photographs/4/file").headers
    assert odd.browser.get("/photographs/1/file").status == 404


# ------------------------------------------------------------------------- who may sign in


def tokens(root: Path, text: str = f"# who may\nada {TOKEN}\n") -> Path:
    file = root / "tokens"
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_with_tokens_nothing_is_shown_before_sign_in(root: Path) -> None:
    with ExitStack() as stack:
        world = make_world(root, stack)
        world.record_file("a.png", build.photograph(1), "unsure")
        world.file()
        browser = stack.enter_context(page_of(ui_settings(root, ui_tokens=tokens(root))))
        for path in ("/review", "/pictures/1/small", "/review/next", "/photographs/1/file"):
            assert (browser.get(path).status, browser.get(path).headers["location"]) == (
                303, "/sign-in",
            )  # fmt: skip
        browser.load("/sign-in")
        assert browser.post("/photographs/1/requeue").status == 403
        assert browser.post("/sign-in", {"token": TOKEN[:-1]}).status == 403
        assert browser.post("/sign-in", {"token": TOKEN}).json == {"next": "/"}
        browser.load()
        assert browser.say(browser.next()["photographs"][0], "male").status == 200
        assert Page(world, browser).words() == [(1, "male", "ada")]
        assert browser.post("/sign-out").status == 200
        assert browser.get("/review").status == 303


def test_a_proxy_names_the_user_and_nobody_else_may(root: Path) -> None:
    with ExitStack() as stack:
        make_world(root, stack)
        proxied = {"ui_user_header": "X-Remote-User", "ui_names": ("photos.example",)}
        settings = ui_settings(root, **proxied)
        browser = stack.enter_context(page_of(settings))
        browser.headers = {"Host": "photos.example"}
        assert browser.get("/review").status == 403
        assert ">ada" in browser.get("/review", X_Remote_User="ada").text
        assert ">bob" in browser.get("/review", X_Remote_User="bob").text
        other = stack.enter_context(
            page_of(ui_settings(root, ui_proxies=("192.0.2.1",), **proxied))
        )
        assert other.get("/review", X_Remote_User="ada").status == 403


def test_an_address_of_the_network_needs_a_way_to_tell_who_asks(root: Path) -> None:
    with pytest.raises(ActionNeeded, match="anybody in the network could use the page"):
        Access(ui_settings(root, ui_host="0.0.0.0"))
    assert Access(ui_settings(root, ui_host="0.0.0.0", ui_tokens=tokens(root))).mode == "token"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (f"ada {TOKEN}\n", 0o640, "others may read it"),
        ("ada short\n", 0o600, "entry 1 is no name with a token"),
        (f"ada {TOKEN}\nbob\n", 0o600, "entry 2 is no name with a token"),
        ("# nobody\n", 0o600, "names nobody"),
    ],
)
def test_a_token_file_that_protects_nothing_is_refused(
    root: Path, text: str, mode: int, words: str
) -> None:
    tokens(root, text).chmod(mode)
    with pytest.raises(ActionNeeded, match=words):
        Access(ui_settings(root, ui_tokens=root / "tokens"))
