"""Files that people have moved or put back, found again by their bytes: never by a guess.

Nothing is moved here: a row follows its file. To have put it into another answer folder is a
person's word on the photograph, see the setting `hand_moves`.
"""

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdwatch.files import content
from gdwatch.files.identity import identity_of
from gdwatch.files.users import name_of
from gdwatch.ledger import originals, queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import Transaction, now
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Identity, Outcome, Reason, Verdict

_NEWEST = 32  # rows with the same bytes that are looked at
Hashes = MutableMapping[bytes, tuple[Identity, str]]  # by path, what was read there before


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file in an answer folder, and the row that it belongs to.

    path: where it lies now. by: the file's owner.
    """

    row: Row
    path: bytes
    by: str

    @property
    def is_back(self) -> bool:
        """Whether it lies where its row says: it was away for a while."""
        return self.path == self.row.path


@dataclass(frozen=True, slots=True)
class _Stranger:
    """A file without a row. by: its owner."""

    path: bytes
    size_bytes: int
    sha256: str
    by: str


def look(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    paths: Sequence[bytes],
    hashes: Hashes | None = None,
) -> list[FoundFile]:
    """Find the rows of those of these files that no row names; writes nothing.

    A row is found where its file is nowhere else, and size and SHA-256 are the file's. Of several
    such rows or files, those belong together whose path, or else whose name, is the same.

    paths: absolute, in answer folders.
    hashes: what was read in an earlier call, kept for the next one.

    Raises Trouble.
    """
    with ledger.reading() as connection:
        transaction = ledger.transaction(connection)
        wanted = set(paths)
        known = transaction.at(wanted).keys() | transaction.being_moved(wanted)
        alike: defaultdict[str, list[_Stranger]] = defaultdict(list)
        for path in paths:
            if path not in known:
                stranger = _read(folders, path, {} if hashes is None else hashes)
                if stranger is not None:
                    alike[stranger.sha256].append(stranger)
        found = []
        recorded = transaction.known(set(alike)) if alike else set()
        for strangers in (alike[sha256] for sha256 in recorded):
            rows = _rows_without_file(transaction, folders, strangers[0])
            for stranger, row in _pairs(strangers, rows):
                if stranger.path == row.path or settings.hand_moves != "ignore":
                    found.append(FoundFile(row, stranger.path, stranger.by))
    return found


def _read(folders: Folders, path: bytes, hashes: Hashes) -> _Stranger | None:
    """Read a file; None if it is gone, or cannot be read."""
    try:
        with Handles(folders) as handles:
            descriptor = content.opened_to_read(handles.parent(path))
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        identity = identity_of(status)
        before, sha256 = hashes.get(path, (None, ""))
        if before != identity:
            sha256 = content.digest(descriptor)
            hashes[path] = (identity, sha256)
    except content.Unreadable:
        return None
    finally:
        os.close(descriptor)
    return _Stranger(path, status.st_size, sha256, name_of(status.st_uid))


def _rows_without_file(
    transaction: Transaction, folders: Folders, stranger: _Stranger
) -> list[Row]:
    """Return the rows with these bytes whose file is not where they say, by id."""
    rows = [
        row
        for row in transaction.newest_with(stranger.sha256, _NEWEST)
        if row.size_bytes == stranger.size_bytes and row.state != "recorded"
    ]
    claimed = transaction.at({row.path for row in rows})
    with Handles(folders) as handles:
        return [
            row
            for row in reversed(rows)
            if row.path == stranger.path
            or (_is_free(row, claimed.get(row.path)) and not _lies_there(handles, row))
        ]


def _is_free(row: Row, claimer: Row | None) -> bool:
    """Whether nothing but its own file could lie at a row's path."""
    return claimer is None or claimer.id == row.id or row.state == "missing"


def _lies_there(handles: Handles, row: Row) -> bool:
    """Whether the row's file may be where it says: the bytes are, or it cannot be seen."""
    base = _base_of(row, handles.folders)
    if base is None or not _is_folder(base):
        return True  # the whole folder is away, perhaps on a disk that is not mounted
    handles.admit(base)
    try:
        found = handles.lstat(row.path)
        if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != row.size_bytes:
            return False
        return content.digest_at(handles.parent(row.path)) == row.sha256
    except (PermissionError, content.Unreadable):
        return True


def _base_of(row: Row, folders: Folders) -> bytes | None:
    """Return the folder that a row's file was filed in, or was put back into."""
    if row.is_restored:
        return row.restored_to
    outcome = folders.outcome_of(row.path)
    return None if outcome is None else folders.answers[outcome]


def _is_folder(path: bytes) -> bool:
    return Path(os.fsdecode(path)).is_dir()


def _pairs(strangers: Iterable[_Stranger], rows: Iterable[Row]) -> Iterator[tuple[_Stranger, Row]]:
    """Yield which file belongs to which row; all have the same bytes.

    Of several rows with a file's path, the newest was the last to have its file there.
    """
    files = {stranger.path: stranger for stranger in strangers}
    left = {row.id: row for row in rows}
    for row in {row.path: row for row in left.values()}.values():
        if row.path in files:
            yield files.pop(row.path), left.pop(row.id)
    for name in {path.rpartition(b"/")[2] for path in files}:
        same_files = [each for path, each in files.items() if path.endswith(b"/" + name)]
        same_rows = [row for row in left.values() if row.path.endswith(b"/" + name)]
        if len(same_files) == len(same_rows) == 1:
            yield files.pop(same_files[0].path), left.pop(same_rows[0].id)
    if len(files) == len(left) == 1:
        yield files.popitem()[1], left.popitem()[1]


def follow(
    ledger: Ledger, folders: Folders, settings: Settings, found: Sequence[FoundFile]
) -> list[FoundFile]:
    """Let the rows follow the files that `look` has found; return those that did.

    A row or a path that has changed since is left for the next look. Raises Trouble.
    """
    if not found:
        return []
    with ledger.writing() as transaction:
        return follow_in(transaction, folders, settings, found)


def follow_in(
    transaction: Transaction, folders: Folders, settings: Settings, found: Sequence[FoundFile]
) -> list[FoundFile]:
    """Do so in a transaction that is open."""
    return [each for each in found if _follow(transaction, folders, settings, each)]


def _follow(
    transaction: Transaction, folders: Folders, settings: Settings, found: FoundFile
) -> bool:
    row = transaction.row(found.row.id)
    outcome = folders.outcome_of(found.path)
    if row != found.row or outcome is None or transaction.at({found.path}):
        return False
    moment = now()
    if found.is_back:
        transaction.lies_at(row, found.path, row.outcome, row.reason, moment)
        return True
    transaction.note_changes([row], "hand")
    if row.is_restored:
        originals.forget(transaction, row.id)
    reason = row.reason
    if outcome != row.outcome:
        result = queries.current_result(transaction.connection, row)
        judged: Outcome | None = None if result is None else result["outcome"]
        reason = _reason(outcome, None if result is None else result["reason"], judged)
        if settings.hand_moves == "correct":
            _correct(transaction, row, outcome, judged, found.by)
    transaction.note_move(row.id, row.path, found.path, "hand", moment)
    transaction.lies_at(row, found.path, outcome, reason, moment)
    return True


def _reason(outcome: Outcome, model_reason: Reason | None, judged: Outcome | None) -> Reason | None:
    if outcome in ("female", "male"):
        return None
    return model_reason if judged == outcome else "by_hand"


def _correct(
    transaction: Transaction, row: Row, outcome: Outcome, judged: Outcome | None, by: str
) -> None:
    words: dict[Outcome, Verdict] = {
        "female": "female", "male": "male", "rejected": "reject", "unsure": "neither"
    }  # fmt: skip
    if outcome == "unsure" and judged == "unsure":  # back where the model had put it
        if row.id in transaction.labels([row.id]):
            transaction.correct([row.id], None, by, "hand")
        return
    transaction.correct([row.id], words[outcome], by, "hand")


def settle(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    paths: Sequence[bytes],
    hashes: Hashes | None = None,
) -> list[FoundFile]:
    """Find the rows of these files, and let them follow: `look` and `follow`. Raises Trouble."""
    return follow(ledger, folders, settings, look(ledger, folders, settings, paths, hashes))
