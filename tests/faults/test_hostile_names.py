"""Hostile names and things: kept as they are, never followed, never believed (T16, T17, T30)."""

import csv
import ctypes
import io
import json
import os
import re
import signal
import socket
import stat
import string
import struct
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from tests import build
from tests.faults import oracle
from tests.faults.case import Case
from tests.faults.launch import Fault, Run, call
from tests.faults.toy import Answer

pytestmark = pytest.mark.timeout(600)
NOT_AN_IMAGE = Answer("rejected", "not_an_image")
NAMES = [
    b"line\nbreak.png",
    b'a.png", "event": "service.stopped", "name": "b.png',
    b"a\n{}\n.png",
    b"\x1b[2J\x1b[31mred\x1b]0;title\x07.png",
    b"\xff\xfe\x80.png",
    b"x" * 251 + b".png",
    "é".encode() * 125 + b".png",
    b"\xff" * 255,
    b"-rf",
    b"--once",
    unicodedata.normalize("NFC", "Zoë.png").encode(),
    unicodedata.normalize("NFD", "Zoë.png").encode(),
    b"%s %d %(name)s {0} {name!r} %n.png",
    b'=HYPERLINK("x","y").png',
    b"+1+1.png",
    b"-1+1.png",
    b"@SUM(1).png",
    b"a;=1+1;.png",
    b"a\t=1+1\t.png",
    b"a\r=1+1.png",
    b"'$(touch pwned)`id`\".png",
    b"back\\slash\\x41\\.png",
    "\u2028line\u2029.png".encode(),
    "\u202egpj.exe".encode(),
    b"state     stopped.png",
    b"a.png reason=none level=info",
    b"[red]markup.png",
    b"a~1.png",
    b"results.db",
    b"male",
    b" lead and trail ",
    b"*?[a]{b,c}.png",
    b"\x01\x02\x7f.png",
]


def name_for(case: Case) -> bytes:
    """Each of the names above, and in the long form then any bytes."""
    if not case.long or case.number < len(NAMES):
        return case.pick(NAMES)
    dice = case.dice
    alphabet = dice.choice([bytes(range(1, 256)), string.printable.encode(), b"\n\r\x1b\\/'\"%= "])
    name = bytes(dice.choices(alphabet, k=dice.randint(1, 255))).replace(b"/", b"")
    return b"n" + name[:254]  # not ignored, as names are that begin with a dot or a tilde


@pytest.mark.scenario("T16", quick=12, long=300)
def test_a_hostile_name_is_kept_and_forges_no_line(rounds: list[Case]) -> None:
    for case in rounds:
        name = name_for(case)
        case.settings["ignore"] = '[".*"]'
        taken = Path(os.fsdecode(os.fsencode(case.root / "male") + b"/" + name))
        taken.write_bytes(b"put here by a person")
        good = case.drop(name, case.picture(0.97))
        bad = case.drop(name[:250] + b".dir/" + name, b"no picture", NOT_AN_IMAGE)
        run = case.run("run", "--once")
        case.judge()
        (told,) = run.events("file.rejected")
        assert oracle.path_of(told["name"], case.root) == os.fsencode(bad)
        says_what_it_is(case.run("show", good).answer())


STEERING = {"Cc", "Cs", "Zl", "Zp"}
TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def says_what_it_is(shown: str) -> None:
    """Each line of `show` begins with its own word: no name has begun one."""
    lines = shown.splitlines()
    assert lines == shown.removesuffix("\n").split("\n")
    # Nothing steers a terminal; a joiner, a private letter or a new one only looks odd.
    assert not {unicodedata.category(each) for each in shown if each != "\n"} & STEERING
    assert not set(shown) & TURNING
    words = [line.partition(" ")[0] for line in lines]
    assert words[0] == "id"
    dates = {word for word in words if re.fullmatch(r"\d{4}-\d\d-\d\d", word)}  # of the story
    assert set(words) - dates <= {
        "id", "sha256", "size_bytes", "modified_ns", "name", "original", "path", "source", "state",
        "outcome", "reason", "model_id", "root_id", "duplicate_of", "received_at", "recorded_at",
        "filed_at", "moved_at", "taken_at", "camera", "result", "result_id", "correction", "label",
        "confidence", "min_confidence", "faces", "mode",
    }  # fmt: skip
    told = [word for word in words if word not in dates]
    assert len(told) == len(set(told))


def test_names_that_differ_only_in_their_composition_are_two_files(case: Case) -> None:
    for form in ("NFC", "NFD"):
        case.drop(unicodedata.normalize(form, "Zoë.png").encode(), case.picture(0.97))
    case.run("run", "--once")
    case.judge()
    assert len(list((case.root / "male").iterdir())) == 2


def test_a_log_for_people_has_one_line_an_event_whatever_the_names(case: Case) -> None:
    for number, name in enumerate(NAMES):
        case.drop(b"%d/" % number + name, b"no picture", NOT_AN_IMAGE)
    run = case.run("run", "--once", log_format="human")
    case.judge(log=[])
    lines = [line for line in run.text().split("\n") if line]
    assert run.text().splitlines() == lines
    assert all(
        re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[\w+ *\] \w+\.\w+( |$)", line) for line in lines
    )
    assert all(line.isprintable() for line in lines)
    # A value with a blank or an equals sign in it stands in quotes, so it cannot become two.
    told = [line for line in lines if "file.rejected" in line]
    assert len(told) == len(NAMES)
    assert all(line.count(" reason=not_an_image") == 1 for line in told)
    (forging,) = (line for line in told if "reason=none" in line)
    assert re.search(r"name='[^']*reason=none level=info'", forging)


def test_classify_forges_no_line_and_hides_no_formula(case: Case) -> None:
    folder = case.folder / "given"
    folder.mkdir()
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"no picture")
    listed = sorted(NAMES)
    (folder / "names").write_bytes(b"\0".join(listed))
    cwd = [call("os:chdir", path=str(folder))]
    words = [os.fsdecode(b"./" + name if name.startswith(b"-") else name) for name in listed]
    for format_ in ("csv", "jsonl", "table", "json"):
        text = case.run("classify", *words, "--format", format_, before=cwd).answer()
        assert text.splitlines() == text.removesuffix("\n").split("\n")
        assert text.replace("\n", "").isprintable()
        if format_ == "csv":
            check_spreadsheet(text, listed)
        elif format_ == "jsonl":
            paths = [json.loads(line)["path"] for line in text.splitlines()]
            assert [oracle.path_of(path, folder) for path in paths] == [
                os.fsencode(folder) + b"/" + os.fsencode(word) for word in words
            ]
        elif format_ == "table":
            assert len(text.splitlines()) == 1 + len(NAMES)
    case.judged = True


def check_spreadsheet(text: str, listed: list[bytes]) -> None:
    """However a spreadsheet parts the columns, none begins like a formula."""
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == len(listed)
    for delimiter in ",;\t|":
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            formulas = [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]
            assert formulas == []


def test_status_forges_no_line(case: Case) -> None:
    for name in NAMES:
        os.mkfifo(os.fsencode(case.inbox) + b"/" + name)
    case.drop("a.png")
    service = case.start("run")
    case.wait_until_filed(service)
    told = case.root / ".gdwatch" / "status.json"
    build.wait_until(lambda: len(json.loads(told.read_text())["skipped"]) == len(NAMES))
    text = case.run("status").answer()
    assert text.splitlines() == text.removesuffix("\n").split("\n")
    assert text.replace("\n", "").isprintable()
    words = [line.partition(" ")[0] for line in text.splitlines()]
    assert words.count("state") == 1
    assert "running" in next(line for line in text.splitlines() if line.startswith("state"))
    skipped = [line for line in text.splitlines() if line.startswith(" ")]
    assert len(skipped) == len(NAMES)
    assert all(line.endswith(": fifo") for line in skipped)
    service.send(15)
    service.wait()
    case.judge()


def test_a_date_that_no_database_knows_stops_nothing(case: Case) -> None:
    late = 13_569_465_600 * 10**9  # in the year 2400
    path = case.drop("late.png", case.picture(0.97), mtime_ns=late)
    if path.stat().st_mtime_ns != late:
        pytest.skip("this file system knows no year 2400")
    case.change(0, mtime_ns=2**63 - 1)
    case.drop("b.png")
    case.run("run", "--once")
    case.judge()
    assert (case.root / "male" / "late.png").stat().st_mtime_ns == late


def test_sides_that_no_database_knows_stop_nothing(case: Case) -> None:
    from tests.faults.corpus import HEADERS

    for number, (width, height) in enumerate([(2**64 - 1, 1), (2**32 - 1, 2**32 - 1)]):
        content = HEADERS["tiff big"](width, height)
        case.drop(f"{number}.tif", content, Answer("rejected", "too_many_pixels"))
    case.drop("b.png")
    case.run("run", "--once")
    case.judge()


def make_nest(folder: Path, step: bytes, levels: int) -> int:
    """Make folders in each other, however long their path; the last one's handle."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(step, dir_fd=handle)
        below = os.open(step, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    return handle


@contextmanager
def nested(case: Case, step: bytes, levels: int) -> Iterator[int]:
    """Such folders in the inbox; the oracle cannot follow them, so the test must see for itself."""
    case.run("status")  # the oracle looks before the first command
    handle = make_nest(case.inbox, step, levels)
    try:
        yield handle
    finally:
        os.close(handle)
        subprocess.run(["rm", "-rf", case.inbox, case.root / "male"], check=True)


def test_a_path_longer_than_the_kernel_takes_is_filed(case: Case) -> None:
    with nested(case, b"d" * 250, 20) as handle:  # 5,000 bytes, where PATH_MAX is 4,096
        with open(os.open(b"a.png", os.O_WRONLY | os.O_CREAT, dir_fd=handle), "wb") as file:
            file.write(case.picture(0.97))
        case.drop("b.png")
        run = case.run("run", "--once")
        assert run.status == 0, run.text()
        found = build.query(case.root, "SELECT * FROM files ORDER BY length(path) DESC")
        assert [row["state"] for row in found] == ["filed", "filed"]
        assert found[0]["path"] == "male/" + "/".join(["d" * 250] * 20) + "/a.png"


def test_folders_a_thousand_levels_deep_stop_neither_service_nor_classify(case: Case) -> None:
    with nested(case, b"d", 1_500):
        case.drop("b.png")
        service = case.start("run")
        case.wait_until_filed(service)
        assert [each["reason"] for each in service.events("inbox.skipped")] == ["too_deep"]
        service.send(15)
        assert service.wait() == 0
        run = case.run("classify", case.inbox, "--format", "jsonl")
        assert (run.status, run.answer()) == (0, "")


# ------------------------------------------------------------------------- things


class Watcher:
    """Everything that is opened, read, written or made in some folders, or under some names."""

    EVENTS = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._paths: dict[int, Path] = {}

    def look_at(self, *paths: Path) -> None:
        for path in paths:
            number = self._libc.inotify_add_watch(self._handle, os.fsencode(path), self.EVENTS)
            assert number > 0, path
            self._paths[number] = path

    def seen(self) -> list[tuple[str, str, str]]:
        """What has happened since: path, event, name."""
        found = []
        try:
            content = os.read(self._handle, 1 << 20)
        except BlockingIOError:
            return []
        while content:
            number, mask, _, length = struct.unpack_from("iIII", content)
            name = content[16 : 16 + length].rstrip(b"\0")
            found.append((str(self._paths[number]), hex(mask), os.fsdecode(name)))
            content = content[16 + length :]
        return found

    def close(self) -> None:
        os.close(self._handle)


@contextmanager
def watching() -> Iterator[Watcher]:
    watcher = Watcher()
    try:
        yield watcher
    finally:
        watcher.close()


def strange_link(case: Case, place: Path) -> None:
    place.symlink_to(case.folder / "far" / "a.png")


def strange_folder(case: Case, place: Path) -> None:
    place.symlink_to(case.folder / "far")


def dangling(case: Case, place: Path) -> None:
    place.symlink_to(case.folder / "far" / "nothing")


def circle(case: Case, place: Path) -> None:
    place.symlink_to(case.inbox)


def fifo(case: Case, place: Path) -> None:
    os.mkfifo(place)


def a_socket(case: Case, place: Path) -> None:
    here = os.getcwd()
    os.chdir(place.parent)  # the name of a socket may have 107 bytes
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(place.name)
    os.chdir(here)


def device(case: Case, place: Path) -> None:
    try:
        os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        os.mkfifo(place)  # only root makes devices


REASONS: dict[Callable[[Case, Path], None], str] = {
    strange_link: "symlink", strange_folder: "symlink", dangling: "symlink", circle: "symlink",
    fifo: "fifo", a_socket: "socket", device: "device",
}  # fmt: skip


def set_up_far(case: Case, watcher: Watcher) -> Path:
    """A folder outside, with pictures under the names that lie inside too."""
    far = case.folder / "far"
    (far / "wedding").mkdir(parents=True)
    for folder in (far, far / "wedding"):
        (folder / "a.png").write_bytes(case.picture(0.97))
    watcher.look_at(far, far / "wedding", far / "a.png", far / "wedding" / "a.png")
    return far


@pytest.mark.scenario("T17", quick=4, long=20)
def test_what_is_no_regular_file_stays_unopened_and_is_named_once(rounds: list[Case]) -> None:
    for case in rounds:
        make = case.pick(list(REASONS))
        with watching() as watcher:
            far = set_up_far(case, watcher)
            (case.inbox / "wedding").mkdir()
            for place in (case.inbox / "thing.png", case.inbox / "wedding" / "thing.png"):
                make(case, place)
                if not place.is_symlink():
                    watcher.look_at(place)
            case.drop("a.png")
            case.drop("wedding/a.png")
            before = things(case), oracle.look(far)
            case.count.faults += 1
            watcher.seen()
            run = case.run("run", "--once")
            assert watcher.seen() == []
        assert (things(case), oracle.look(far)) == before
        case.judge()
        told = run.events("inbox.skipped")
        reason = "fifo" if (case.inbox / "thing.png").is_fifo() else REASONS[make]
        assert [each["name"].rpartition("/")[2] for each in told] == ["thing.png"] * 2
        assert {each["reason"] for each in told} == {reason}


def things(case: Case) -> dict[bytes, oracle.Thing]:
    """What lies in the folders and is neither file nor folder."""
    found = oracle.look(case.inbox, *(case.root / name for name in oracle.OUTCOMES))
    return {path: thing for path, thing in found.items() if thing.kind in ("link", "other")}


def link_at_the_target(case: Case, far: Path) -> None:
    (case.root / "male" / "wedding").mkdir()
    (case.root / "male" / "wedding" / "a.png").symlink_to(far / "made.png")


def link_on_the_way(case: Case, far: Path) -> None:
    (case.root / "male" / "wedding").symlink_to(far)


def folder_at_the_target(case: Case, far: Path) -> None:
    (case.root / "male" / "wedding" / "a.png").mkdir(parents=True)


def fifo_at_the_target(case: Case, far: Path) -> None:
    (case.root / "male" / "wedding").mkdir()
    os.mkfifo(case.root / "male" / "wedding" / "a.png")


IN_THE_WAY = [link_at_the_target, link_on_the_way, folder_at_the_target, fifo_at_the_target]


@pytest.mark.scenario("T17", quick=2, long=8)
def test_what_lies_in_the_way_is_neither_followed_nor_overwritten(rounds: list[Case]) -> None:
    for case in rounds:
        with watching() as watcher:
            far = set_up_far(case, watcher)
            case.pick(IN_THE_WAY)(case, far)
            case.drop("wedding/a.png", case.picture(0.97))
            before = things(case), oracle.look(far)
            case.count.faults += 1
            watcher.seen()
            case.run("run", "--once")
            assert watcher.seen() == []
        assert (things(case), oracle.look(far)) == before
        case.judge()


@pytest.mark.scenario("T17", quick=1, long=2)
def test_a_hard_link_is_filed_and_its_other_name_stays(rounds: list[Case]) -> None:
    for case in rounds:
        outside = case.beside / "photo.png"
        outside.write_bytes(case.picture(0.97))
        inside = case.inbox / "photo.png"
        os.link(outside, inside)
        case.note(inside, Answer("male"))
        case.count.faults += 1
        case.run("run", "--once")
        case.judge()
        assert (case.root / "male" / "photo.png").samefile(outside)


# ------------------------------------------------------------------------- swaps


def drop_again_what_went_missing(case: Case) -> None:
    """Files that went with their folder while they were being moved: coming back, they are new."""
    gone = {row["original_path"] for row in case.rows() if row["state"] == "missing"}
    for index, drop in enumerate(list(case.dropped)):
        if os.path.relpath(os.fsdecode(drop.path), case.root) in gone:
            case.change(index, ends="taken")
            case.note(Path(os.fsdecode(drop.path)), drop.answer)


SWAPPED = {
    "answer folder": "male",
    "folder in an answer folder": "male/wedding",
    "inbox": "inbox",
    "folder in the inbox": "inbox/wedding",
    "folder above": "",
}
MOMENTS = [
    ("C1.list", "after"), ("C3.open", "before"), ("C6.record", "before"), ("C6.record", "after"),
    ("C7.move", "before"), ("C7.rename", "before"), ("C8.sync", "before"),
]  # fmt: skip


@pytest.mark.scenario("T30", quick=6, long=60)
def test_a_folder_swapped_for_a_link_leads_nowhere(rounds: list[Case]) -> None:
    for case in rounds:
        what, (at, when) = case.pick(list(product(SWAPPED, MOMENTS)))
        path = case.root / SWAPPED[what]
        aside = case.folder / "taken"
        with watching() as watcher:
            far = case.folder / "far"
            for folder in (far, *(far / name for name in ("inbox", "male", "wedding"))):
                (folder / "wedding").mkdir(parents=True, exist_ok=True)
                for place in (folder, folder / "wedding"):
                    (place / "a.png").write_bytes(case.picture(0.97))
                    watcher.look_at(place, place / "a.png")
            (case.root / "male" / "wedding").mkdir()
            # In one batch, however busy the machine: what is met later would be another swap.
            case.settings |= {"batch_size": 3, "batch_wait_ms": 2000}
            case.drop("wedding/a.png", case.picture(0.97))
            case.drop("wedding/b.png", case.picture(0.97))
            case.drop("a.png", case.picture(0.97))
            before = oracle.look(far)
            watcher.seen()
            places = {"path": str(path), "aside": str(aside), "far": str(far)}
            doing = call("tests.faults.acts:swap", **places)
            service = case.start("run", faults=[Fault(at, when, do=(doing,))], allowed=(0, 78))
            build.wait_until(partial(has_met_it, case, service, what), f"{what} {at}", 300)
            assert watcher.seen() == [], (what, at, when)
            assert oracle.look(far) == before
            if service.status is None:  # it must not file what comes back before it is noted
                service.send(signal.SIGSTOP)
                service.wait_until_stopped()
            path.unlink()
            aside.rename(path)
        case.count.faults += 1
        if service.status is None:
            drop_again_what_went_missing(case)
            service.send(signal.SIGCONT)
            case.wait_until_filed(service)
            service.send(15)
            service.wait()
            case.judge()
        else:
            case.finish(again=False)


def has_met_it(case: Case, service: Run, what: str) -> bool:
    """Whether the service has met the link: it pauses, has ended, or has filed what it can."""
    if not service.hits:
        return False
    if service.events("service.paused") or service.status is not None:
        return True
    states = [row["state"] for row in case.rows()]
    at_least = 1 if what == "folder in the inbox" else 3
    return states.count("filed") >= at_least and "recorded" not in states
