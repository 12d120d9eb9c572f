"""A page that is really served, to be asked by a browser's means: headers, cookies, JSON."""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gdwatch.ledger.tables import results
from gdwatch.root import root_id
from gdwatch.settings import Settings
from gdwatch.ui import server
from tests import build
from tests.gdwatch.conftest import World, world_at


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Browser:
    """Keeps a cookie and the page's token, and sends the headers that browsers send."""

    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict)
    cookie: str | None = None
    csrf: str | None = None

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        given = {"Host": f"{self.host}:{self.port}", "Accept": "text/html", **self.headers}
        if self.cookie is not None:
            given["Cookie"] = self.cookie
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        if (cookie := answer.headers["set-cookie"]) is not None:
            self.cookie = cookie.partition(";")[0]
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def load(self, path: str = "/review") -> Answer:
        """Get a page, and the token that stands in it."""
        answer = self.get(path)
        found = re.search(r'name="csrf" content="(\w+)"', answer.text)
        self.csrf = found[1] if found else None
        return answer

    def post(self, path: str, given: Any = None, **headers: str) -> Answer:
        body = json.dumps({} if given is None else given).encode()
        sent = {"Content-Type": "application/json", "Accept": "application/json", **headers}
        if self.csrf is not None:
            sent.setdefault("X_CSRF_Token", self.csrf)
        return self.ask("POST", path, body, **sent)

    def next(self, query: str = "") -> dict[str, Any]:
        return self.get(f"/review/next?{query}", Accept="application/json").json

    def say(self, photograph: dict[str, Any], verdict: str) -> Answer:
        given = {"verdict": verdict, "seen": photograph["seen"]}
        return self.post(f"/photographs/{photograph['id']}/verdict", given)


@contextmanager
def page_of(settings: Settings) -> Iterator[Browser]:
    """Serve a root's page, and give a browser that may ask for it."""
    with ExitStack() as stack:
        uvicorn, listening = stack.enter_context(server.serving(settings))
        thread = threading.Thread(target=uvicorn.run, args=([listening],))
        thread.start()
        stack.callback(thread.join)
        stack.callback(setattr, uvicorn, "should_exit", True)  # noqa: FBT003
        yield Browser(*listening.getsockname()[:2])


def ui_settings(root: Path, **others: Any) -> Settings:
    """A port of 0, which no operator may set, lets the kernel choose a free one."""
    return build.make_settings(root).model_copy(update={"ui_port": 0, **others})


@dataclass
class Page:
    """A root with filed photographs, and its page."""

    world: World
    browser: Browser

    def paths(self) -> dict[str, str]:
        return {row["name"]: row["path"] for row in self.world.rows()}

    def filed(self, name: str, path: str) -> None:
        """Wait until a file lies there, with a row that says so."""

        def lies() -> bool:
            row = next(row for row in self.world.rows() if row["name"] == name)
            there = (self.world.root / path).is_file()
            return (row["path"], row["state"]) == (path, "filed") and there

        build.wait_until(lies, f"{name} at {path}")

    def words(self) -> list[tuple[Any, ...]]:
        rows = build.query(self.world.root, "SELECT * FROM corrections ORDER BY id")
        return [(row["file_id"], row["label"], row["by"]) for row in rows]


def make_world(root: Path, stack: ExitStack) -> World:
    world = stack.enter_context(world_at(root))
    (root / ".gdwatch" / "root-id").write_text("a-root\n")
    assert root_id.read_id(world.folders) == "a-root"
    return world


def set_threshold(world: World, least: float) -> None:
    """Make the decisions say under which threshold they came about, as those of the service do."""
    with world.ledger.writing() as transaction:
        transaction.connection.execute(sa.update(results).values(min_confidence=least))


@pytest.fixture
def page(root: Path) -> Iterator[Page]:
    """Three unsure photographs and one of each other outcome."""
    with ExitStack() as stack:
        world = make_world(root, stack)
        for number, name in enumerate(("a", "b", "c")):
            world.record_file(f"trip/{name}.png", build.photograph(number), "unsure")
        world.record_file("f.png", build.photograph(10), "female")
        world.record_file("m.png", build.photograph(11), "male")
        world.record_file("broken.png", b"no picture", "rejected")
        world.file()
        yield Page(world, stack.enter_context(page_of(ui_settings(root))))
