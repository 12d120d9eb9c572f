"""Whether anything was lost, recorded twice, or left its folders: one judge of every scenario.

It imports nothing of gdwatch, and trusts nothing but bytes: what was dropped, what lay in the
folders before and lies there now, the database file, exit status, log, and if there is one the
trace of file operations. The numbers of the checks are those of the page on faults, I1 to I9 its
invariants.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OUTCOMES = ("female", "male", "unsure", "rejected")
EVENTS = frozenset(
    f"{group}.{name}"
    for group, names in {
        "service": "started ready paused resumed stopped reloaded",
        "lock": "held",
        "watch": "started overflow lost polling",
        "inbox": "skipped",
        "file": "vanished deferred unsure rejected missing back moved changed_late collision "
        "copied judged_again not_restored",
        "batch": "filed restored unsure retried split",
        "worker": "started died timeout",
        "engine": "oom restarted",
        "model": "loaded refused",
        "db": "busy full corrupt upgraded",
        "disk": "low",
        "hook": "started failed",
        "recovery": "done",
    }.items()
    for name in names.split()
)


@dataclass(frozen=True, slots=True)
class Thing:
    """What lies under a name. kind: file, link, folder, other; sha256 of a link: of its target."""

    kind: str
    sha256: str = ""
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0


Tree = Mapping[bytes, Thing]  # by absolute path


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file as it was dropped, or as it was when it was last changed.

    answer: anything with outcome, reason, label and p_male, each None where it may be anything.
    ends: `filed`, `waiting` (it stays in the inbox), or `taken` (a person took it out afterwards:
    its row may say missing, its bytes are looked for nowhere).
    """

    path: bytes
    sha256: str
    size: int
    mtime_ns: int
    answer: Any = None
    ends: str = "filed"


@dataclass(frozen=True, slots=True)
class Violation:
    """kind: `lost` or `twice` where a file or row is, for the counts; else empty."""

    invariant: str
    check: int
    what: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.invariant} (check {self.check}): {self.what}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the judge is told.

    before, after: the configured folders and whatever lies beside them that must not change
    (`beside`). rest: whether gdwatch has been let to finish; just after a fault, a file may still
    be in the inbox, and on two devices in two places.
    again: the trees, and rows, after one more `run --once`.
    statuses: how the commands ended, each with those that are allowed.
    model_sha256: of the files that models in the ledger may be from.
    shared: whether other roots have rows in the ledger, too.
    """

    root: Path
    inbox: Path
    database: Path
    dropped: Sequence[Dropped]
    before: Tree
    after: Tree
    rest: bool = True
    answers: Mapping[str, Path] = field(default_factory=dict)
    beside: Sequence[Path] = ()
    again: Tree | None = None
    rows_again: Sequence[Mapping[str, Any]] | None = None
    statuses: Sequence[tuple[int, Sequence[int]]] = ()
    log: Sequence[str] = ()
    trace: Sequence[Mapping[str, Any]] = ()
    model_sha256: Sequence[str] = ()
    shared: bool = False

    def folder(self, outcome: str) -> bytes:
        return os.fsencode(self.answers.get(outcome, self.root / outcome))


def judge(evidence: Evidence) -> list[Violation]:
    """Everything that is wrong; empty where nothing is."""
    try:
        book = read_ledger(evidence.database, evidence.root if evidence.shared else None)
    except sqlite3.Error as error:
        return [Violation("I2", 6, f"the database cannot be read: {error}")]
    found = [
        *_files(evidence),
        *_rows(evidence, book),
        *_filed(evidence, book),
        *_order(evidence),
        *_beside(evidence),
        *_health(evidence, book),
        *_rest(evidence, book),
        *_answers(evidence, book),
    ]
    return list(dict.fromkeys(found))


# ------------------------------------------------------------------------- looking


def look(*folders: Path) -> dict[bytes, Thing]:
    """Everything below these folders, and they themselves; links are not followed."""
    found: dict[bytes, Thing] = {}
    for folder in folders:
        _look(os.fsencode(folder), found)
    return found


def _look(path: bytes, found: dict[bytes, Thing]) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    mode = status.st_mode
    if stat.S_ISREG(mode):
        sha256 = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
        found[path] = Thing("file", sha256, status.st_size, status.st_mtime_ns, status.st_ino)
    elif stat.S_ISLNK(mode):
        sha256 = hashlib.sha256(os.readlink(path)).hexdigest()
        found[path] = Thing("link", sha256, inode=status.st_ino)
    elif stat.S_ISDIR(mode):
        found[path] = Thing("folder")
        for name in os.listdir(path):
            _look(path + b"/" + name, found)
    else:
        found[path] = Thing("other", inode=status.st_ino)


@dataclass(frozen=True, slots=True)
class Book:
    """What the database says, as it would be found after a crash of this moment."""

    files: Sequence[Mapping[str, Any]] = ()
    results: Mapping[tuple[int, int], Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[int, str] = field(default_factory=dict)
    corrected: Mapping[int, str | None] = field(default_factory=dict)
    integrity: str = "ok"
    strangers: int = 0  # rows that name rows which are not there


def read_ledger(database: Path, root: Path | None = None) -> Book:
    """Read a copy, with its log: reading the original would change it. Raises sqlite3.Error.

    root: only its files; None: all.
    """
    if not database.exists():
        return Book()
    with tempfile.TemporaryDirectory() as aside:
        copy = Path(aside) / "copy.db"
        for suffix in ("", "-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{database}{suffix}", f"{copy}{suffix}")
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.row_factory = sqlite3.Row
            integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            if "files" not in tables:
                return Book(integrity=integrity)
            own = "SELECT id FROM roots WHERE ?1 IS NULL OR path = ?1"
            asked = f"SELECT * FROM files WHERE root_id IN ({own}) ORDER BY id"
            given = (None if root is None else str(root),)
            return Book(
                [dict(row) for row in connection.execute(asked, given)],
                {
                    (row["file_id"], row["model_id"]): dict(row)
                    for row in connection.execute("SELECT * FROM results ORDER BY id")
                },
                dict(connection.execute("SELECT id, sha256 FROM models").fetchall()),
                dict(
                    connection.execute("SELECT file_id, label FROM corrections ORDER BY id")
                    .fetchall()
                ),
                integrity,
                len(connection.execute("PRAGMA foreign_key_check").fetchall()),
            )  # fmt: skip


_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})|\\\\")


def path_of(text: str, root: Path) -> bytes:
    r"""The bytes of a path as the ledger shows it: `\xff`, a backslash as `\\`, below the root."""
    raw = _ESCAPED.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\",
        text.encode("utf-8", "surrogateescape"),
    )
    return raw if raw.startswith(b"/") else os.fsencode(root) + b"/" + raw


def _below(path: bytes, folder: bytes) -> bool:
    return path.startswith(folder + b"/")


def _regular(evidence: Evidence, tree: Tree) -> dict[bytes, Thing]:
    """The files in the inbox and the answer folders."""
    folders = [os.fsencode(evidence.inbox), *map(evidence.folder, OUTCOMES)]
    return {
        path: thing
        for path, thing in tree.items()
        if thing.kind == "file" and any(_below(path, folder) for folder in folders)
    }


# ------------------------------------------------------------------------- the checks


def _files(evidence: Evidence) -> Iterator[Violation]:
    """1. The hashes in inbox and answer folders are those dropped, and those there before."""
    kept = [drop for drop in evidence.dropped if drop.ends != "taken"]
    paths = {drop.path for drop in evidence.dropped}
    strangers = [
        thing.sha256
        for path, thing in _regular(evidence, evidence.before).items()
        if path not in paths
    ]
    wanted = Counter([drop.sha256 for drop in kept]) + Counter(strangers)
    taken = Counter(drop.sha256 for drop in evidence.dropped if drop.ends == "taken")
    found = Counter(thing.sha256 for thing in _regular(evidence, evidence.after).values())
    for sha256, count in (wanted - found).items():
        who = [drop.path for drop in kept if drop.sha256 == sha256]
        yield Violation("I1", 1, f"{count} of {sha256[:12]} lost, dropped as {who}", "lost")
    more = found - wanted - taken
    if not evidence.rest:  # between publishing a copy and removing its source both are there
        more -= Counter(dict.fromkeys((drop.sha256 for drop in kept), 1))
    for sha256, count in more.items():
        where = [
            path
            for path, thing in _regular(evidence, evidence.after).items()
            if thing.sha256 == sha256
        ]
        yield Violation("I1", 1, f"{count} more of {sha256[:12]} than were dropped: {where}")
    for path, thing in _regular(evidence, evidence.before).items():
        if path not in paths and evidence.after.get(path) != thing:
            yield Violation("I5", 1, f"{path!r} was there before, and was changed or removed")


def _rows(evidence: Evidence, book: Book) -> Iterator[Violation]:
    """2. A row for each drop, none twice."""
    drops = Counter(
        _drop(each.path, each.size, each.mtime_ns, each.sha256)
        for each in evidence.dropped
        if each.ends != "waiting"
    )
    rows = Counter(
        _drop(path_of(row["original_path"], evidence.root), row["size_bytes"], row["modified_ns"],
              row["sha256"])
        for row in book.files
    )  # fmt: skip
    for drop, count in (rows - drops).items():
        kind = "twice" if drop in drops else ""
        yield Violation("I2", 2, f"{count} rows too many of {drop}", kind)
    if evidence.rest:
        for drop, count in (drops - rows).items():
            yield Violation("I2", 2, f"{count} rows missing of {drop}")


def _drop(path: bytes, size: int, mtime_ns: int, sha256: str | None) -> tuple[bytes, int, int, str]:
    return path, size, mtime_ns, (sha256 or "unread")[:12]


def _filed(evidence: Evidence, book: Book) -> Iterator[Violation]:
    """3. Each filed row has exactly one file, and each file in an answer folder has a row."""
    files = _regular(evidence, evidence.after)
    claimed: dict[bytes, int] = {}
    for row in book.files:
        path = path_of(row["path"], evidence.root)
        if not _below(path, evidence.folder(row["outcome"])):
            yield Violation("I4", 3, f"row {row['id']} is {row['outcome']}, its path {path!r}")
        if row["state"] != "missing" and path in claimed:
            yield Violation("I4", 3, f"rows {claimed[path]} and {row['id']} claim {path!r}")
        if row["state"] == "filed":
            claimed[path] = row["id"]
            yield from _filed_row(evidence, row, path, files.get(path))
        elif row["state"] == "recorded":
            source = path_of(row["source_path"], evidence.root)
            claimed |= {path: row["id"], source: row["id"]}
            if not any(_is(files[each], row) for each in (source, path) if each in files):
                yield Violation("I1", 3, f"recorded row {row['id']} has its file nowhere", "lost")
    yield from _without_row(evidence, files, claimed)


def _without_row(
    evidence: Evidence, files: Mapping[bytes, Thing], claimed: Mapping[bytes, int]
) -> Iterator[Violation]:
    before = _regular(evidence, evidence.before)
    for path, thing in files.items():
        in_inbox = _below(path, os.fsencode(evidence.inbox))
        if not in_inbox and path not in claimed and before.get(path) != thing:
            yield Violation("I3", 3, f"{path!r} has left the inbox without a row")


def _filed_row(
    evidence: Evidence, row: Mapping[str, Any], path: bytes, thing: Thing | None
) -> Iterator[Violation]:
    original = path_of(row["original_path"], evidence.root)
    taken = any(each.ends == "taken" and each.path == original for each in evidence.dropped)
    if thing is None:
        if not taken:
            yield Violation("I4", 3, f"filed row {row['id']}: nothing at {path!r}")
    elif not _is(thing, row):
        if not taken:
            yield Violation("I4", 3, f"filed row {row['id']}: other bytes at {path!r}")
    elif not _is_named_after(path, original, row["id"]):
        yield Violation("I4", 3, f"row {row['id']}: {original!r} is called {path!r}")


def _is(thing: Thing, row: Mapping[str, Any]) -> bool:
    if row["sha256"] is None:
        return thing.size == row["size_bytes"]
    return thing.sha256 == row["sha256"]


def _is_named_after(path: bytes, original: bytes, row_id: int) -> bool:
    """Whether a file keeps its name, or got its row's id before the suffix."""
    name, old = path.rpartition(b"/")[2], original.rpartition(b"/")[2]
    if name == old:
        return True
    stem, mark, rest = name.rpartition(b"~%d" % row_id)
    suffix = re.sub(rb"^-\d+", b"", rest)
    return bool(mark) and old.startswith(stem) and old.endswith(suffix)


def _order(evidence: Evidence) -> Iterator[Violation]:
    """4. The bytes synced, the row committed, the rename, its folders synced, then `filed`."""
    order = _Order(os.fsdecode(evidence.inbox))
    steps = {
        "sync": order.sync,
        "sync_folder": order.sync_folder,
        "commit": order.commit,
        "move": order.move,
        "link": order.move,
        "copy": order.move,
        "unlink": order.unlink,
    }
    for step in evidence.trace:
        yield from steps.get(step["op"], lambda _: ())(step)


class _Order:
    """Reads a trace as `recorder` writes it; each step yields what is out of order with it."""

    def __init__(self, inbox: str) -> None:
        self._inbox = inbox
        self._synced: set[int] = set()
        self._recorded: dict[tuple[str, str], bool] = {}  # source and target: durably?
        self._unsynced: dict[str, set[str]] = {}  # by target, the folders still to be synced
        self._sources: dict[str, str] = {}  # of a second name: its target

    def sync(self, step: Mapping[str, Any]) -> Iterator[Violation]:
        self._synced.add(step["inode"])
        return iter(())

    def sync_folder(self, step: Mapping[str, Any]) -> Iterator[Violation]:
        path = step["path"]
        in_inbox = f"{path}/".startswith(f"{self._inbox}/")
        for target, folders in self._unsynced.items():
            if in_inbox and path in folders and os.path.dirname(target) in folders:
                yield Violation("I1", 4, f"{path} synced before {target} was")
            folders.discard(path)

    def commit(self, step: Mapping[str, Any]) -> Iterator[Violation]:
        for row in step["rows"]:
            if row["state"] == "recorded":
                key = row["source"], row["target"]
                self._recorded[key] = self._recorded.get(key, False) or step["durable"]
            elif row["state"] == "filed":
                for folder in self._unsynced.pop(row["target"], ()):
                    yield Violation("I4", 4, f"{row['target']} filed before {folder} was synced")

    def move(self, step: Mapping[str, Any]) -> Iterator[Violation]:
        source, target = step["source"], step["target"]
        if not self._recorded.get((source, target)):
            yield Violation("I3", 4, f"{source} left before its row was durable")
        is_drop = source.startswith(self._inbox + "/")
        if step["op"] == "copy" and not step["synced"]:
            yield Violation("I4", 4, f"{target} got its name before its bytes were synced")
        elif step["op"] != "copy" and is_drop and step["inode"] not in self._synced:
            yield Violation("I4", 4, f"{source} moved before its bytes were synced")
        self._unsynced[target] = {os.path.dirname(target)}
        if step["op"] == "move":
            self._unsynced[target].add(os.path.dirname(source))
        else:
            self._sources[source] = target

    def unlink(self, step: Mapping[str, Any]) -> Iterator[Violation]:
        target = self._sources.pop(step["path"], None)
        if target is None:
            return
        if os.path.dirname(target) in self._unsynced.get(target, ()):
            yield Violation("I1", 4, f"{step['path']} removed before its copy was durable")
        self._unsynced.setdefault(target, set()).add(os.path.dirname(step["path"]))


def _beside(evidence: Evidence) -> Iterator[Violation]:
    """5. What lies beside the configured folders keeps bytes, inode and time; nothing is new."""
    for folder in map(os.fsencode, evidence.beside):
        paths = {
            path
            for path in (*evidence.before, *evidence.after)
            if path == folder or _below(path, folder)
        }
        for path in sorted(paths):
            if evidence.before.get(path) != evidence.after.get(path):
                yield Violation("I6", 5, f"{path!r} beside the folders was made or changed")


def _health(evidence: Evidence, book: Book) -> Iterator[Violation]:
    """6. The database is sound, nothing half done is left, the log can be read."""
    if book.integrity != "ok":
        yield Violation("I2", 6, f"integrity_check: {book.integrity}")
    if book.strangers:
        yield Violation("I2", 6, f"{book.strangers} rows refer to rows that are not there")
    if evidence.rest:
        yield from _half_done(evidence, book)
    for status, allowed in evidence.statuses:
        if status not in allowed:
            yield Violation("I8", 6, f"exit status {status}, not one of {list(allowed)}")
    for line in evidence.log:
        yield from _line(line)


def _half_done(evidence: Evidence, book: Book) -> Iterator[Violation]:
    for row in book.files:
        if row["state"] == "recorded":
            yield Violation("I8", 6, f"row {row['id']} is still recorded")
    for path in evidence.after:
        name = path.rpartition(b"/")[2]
        if name.startswith(b".gdwatch-") and name.endswith(b".part"):
            yield Violation("I5", 6, f"{path!r} was left behind")


def _line(line: str) -> Iterator[Violation]:
    if line.startswith("gdwatch: "):
        return  # the one line of a command that could not do it
    try:
        event = json.loads(line)
    except ValueError:
        yield Violation("I8", 6, f"log line that cannot be read: {line[:200]!r}")
        return
    if event.get("event") not in EVENTS or not {"timestamp", "level"} <= event.keys():
        yield Violation("I8", 6, f"log line of an unknown kind: {line[:200]!r}")


def _rest(evidence: Evidence, book: Book) -> Iterator[Violation]:
    """7. The inbox holds only what may stay, and another run changes no byte and no row."""
    if not evidence.rest:
        return
    stay = {drop.path for drop in evidence.dropped if drop.ends == "waiting"}
    before = _regular(evidence, evidence.before)
    for path, thing in _regular(evidence, evidence.after).items():
        in_inbox = _below(path, os.fsencode(evidence.inbox))
        was_there = path not in {drop.path for drop in evidence.dropped} and before.get(path)
        if in_inbox and path not in stay and was_there != thing:
            yield Violation("I8", 7, f"{path!r} was left in the inbox")
    if evidence.again is not None and _regular(evidence, evidence.again) != _regular(
        evidence, evidence.after
    ):
        yield Violation("I2", 7, "another `run --once` has changed files")
    if evidence.rows_again is not None and list(evidence.rows_again) != list(book.files):
        yield Violation("I2", 7, "another `run --once` has changed rows")


def _answers(evidence: Evidence, book: Book) -> Iterator[Violation]:
    """8. Folder, label, score and model of each row are what the model says of those bytes."""
    wanted = {
        _drop(drop.path, drop.size, drop.mtime_ns, drop.sha256): drop for drop in evidence.dropped
    }
    for row in book.files:
        drop = wanted.get(
            _drop(path_of(row["original_path"], evidence.root), row["size_bytes"],
                  row["modified_ns"], row["sha256"])
        )  # fmt: skip
        result = book.results.get((row["id"], row["model_id"]))
        if result is None:
            yield Violation("I9", 8, f"row {row['id']} has no result of its model")
            continue
        if evidence.model_sha256 and book.models[row["model_id"]] not in evidence.model_sha256:
            yield Violation("I9", 8, f"row {row['id']} names a model that never judged")
        if drop is not None and drop.answer is not None:
            yield from _answer(row, result, drop.answer, book.corrected.get(row["id"]))


def _answer(
    row: Mapping[str, Any], result: Mapping[str, Any], answer: Any, corrected: str | None
) -> Iterator[Violation]:
    outcome = corrected or answer.outcome
    reason = None if corrected else answer.reason
    said = {
        "outcome": (row["outcome"], outcome),
        "reason": (row["reason"], reason),
        "result": (result["outcome"], answer.outcome),
        "label": (result["label"], answer.label),
        "p_male": (result["p_male"], answer.p_male),
    }
    for name, (found, right) in said.items():
        if name in ("label", "p_male") and right is None:
            continue
        if name == "reason" and outcome in ("unsure", "rejected") and right is None:
            continue
        if found != right:
            yield Violation("I9", 8, f"row {row['id']}: {name} is {found}, not {right}")
