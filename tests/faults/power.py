"""What a power cut may leave behind: the trace of a run, cut anywhere, and folders rebuilt from it.

A name that was given or taken away since its folder was last synced may or may not be on the
disk; so may the bytes of a file that nobody has synced. The database is as of its last durable
commit. Between folders that nobody has synced, the kernel writes a file's new name no later than
it takes the old one away, as journals do; once the old name's folder is synced by itself, no such
order holds, as without a journal.
"""

import os
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from tests.faults.oracle import Thing

_ALL_OF = 8  # changes: of so many every subset is tried, of more a sample
_SAMPLE = 64


@dataclass(frozen=True, slots=True)
class Change:
    """One name given (`inode`) or taken away (None), or a folder made (-1).

    needs: the change without which this one cannot be on the disk while both are unsynced.
    """

    path: str
    inode: int | None
    needs: int | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut leaves. names: inode by path, -1 for a folder. image: the database, if any."""

    step: int
    names: tuple[tuple[str, int], ...]
    synced: frozenset[int]
    image: str | None


def cuts(before: Mapping[bytes, Thing], trace: Sequence[Mapping[str, Any]], dice: random.Random,
         ) -> list[Cut]:  # fmt: skip
    """Every state that a cut at any step of the trace may leave, each once."""
    start = {
        os.fsdecode(path): -1 if thing.kind == "folder" else thing.inode
        for path, thing in before.items()
        if thing.kind in ("file", "folder")
    }
    found: dict[tuple[Any, ...], Cut] = {}
    for step in range(len(trace) + 1):
        disk = _Disk(start)
        for each in trace[:step]:
            disk.take(each)
        for names in disk.outcomes(dice):
            cut = Cut(step, names, frozenset(disk.synced), disk.image)
            found.setdefault((names, cut.synced, cut.image), cut)
    return list(found.values())


class _Disk:
    """Names on the disk, and the changes to them that may not be there yet."""

    def __init__(self, names: Mapping[str, int]) -> None:
        self._names = dict(names)
        self._changes: dict[int, Change] = {}
        self._count = 0
        self.synced: set[int] = set()
        self.image: str | None = None

    def take(self, step: Mapping[str, Any]) -> None:
        """Follow one step of a trace."""
        match step["op"]:
            case "sync":
                self.synced.add(step["inode"])
            case "sync_folder":
                self._sync(step["path"])
            case "commit" if step["durable"]:
                self.image = step["image"]
            case "mkdir":
                self._give(step["path"], -1)
            case "move" | "link" | "copy" as op:
                given = self._give(step["target"], step["inode"])
                if op == "move":
                    self._add(Change(step["source"], None, given))
            case "unlink":
                self._add(Change(step["path"], None))

    def _sync(self, folder: str) -> None:
        for number, change in list(self._changes.items()):
            if os.path.dirname(change.path) == folder:
                self._apply(self._names, self._changes.pop(number))

    def _give(self, path: str, inode: int) -> int:
        """A new name; it needs its folder, where that one's own name is not synced yet."""
        folder = os.path.dirname(path)
        made = [n for n, c in self._changes.items() if c.path == folder and c.inode == -1]
        return self._add(Change(path, inode, made[-1] if made else None))

    def outcomes(self, dice: random.Random) -> Iterator[tuple[tuple[str, int], ...]]:
        """The names that may be found after a cut now."""
        numbers = list(self._changes)
        for chosen in _subsets(numbers, dice):
            names = dict(self._names)
            written = set()
            for number in chosen:
                needs = self._changes[number].needs
                if needs is None or needs in written or needs not in self._changes:
                    self._apply(names, self._changes[number])
                    written.add(number)
            yield tuple(sorted(names.items()))

    def _add(self, change: Change) -> int:
        self._count += 1
        self._changes[self._count] = change
        return self._count

    @staticmethod
    def _apply(names: dict[str, int], change: Change) -> None:
        if change.inode is None:
            names.pop(change.path, None)
        elif os.path.dirname(change.path) in names:
            names[change.path] = change.inode


def _subsets(numbers: Sequence[int], dice: random.Random) -> Iterator[tuple[int, ...]]:
    if len(numbers) <= _ALL_OF:
        for size in range(len(numbers) + 1):
            yield from combinations(numbers, size)
        return
    for _ in range(_SAMPLE):
        yield tuple(number for number in numbers if dice.random() < 0.5)


def rebuild(cut: Cut, contents: Mapping[int, tuple[bytes, int]], old: Path, new: Path) -> None:
    """Put into the root `new` what the cut leaves of the root `old`.

    contents: bytes and mtime_ns by inode; of a file that was not synced, zeros are found, unless
    the ledger does not know it yet: what has no row is still its owner's to sync.
    """
    known = Path(cut.image).read_bytes() if cut.image is not None else b""
    first: dict[int, Path] = {}
    for text, inode in cut.names:
        path = new / Path(text).relative_to(old)
        if inode == -1:
            path.mkdir(parents=True, exist_ok=True)
        elif inode in first:
            os.link(first[inode], path)
        else:
            content, mtime_ns = contents[inode]
            lost = inode not in cut.synced and os.fsencode(path.name) in known
            path.write_bytes(bytes(len(content)) if lost else content)
            os.utime(path, ns=(mtime_ns, mtime_ns))
            first[inode] = path
    if cut.image is not None:
        (new / "results.db").write_bytes(known)
    (new / ".gdwatch").mkdir()
    shutil.copy(old / ".gdwatch" / "root-id", new / ".gdwatch" / "root-id")
