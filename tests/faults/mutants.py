"""gdwatch with one mistake each, put into a run's own process: the oracle must find every one.

The mistakes are those that a change to order, syncing, moving, opening, recovery, waiting or
judging might bring. The product knows nothing of them.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gdwatch.errors import Trouble
from gdwatch.files import content, durability, escaping, identity, open_nofollow
from gdwatch.filing import copying, renaming
from gdwatch.filing import move as moving
from gdwatch.intake import watcher
from gdwatch.jobs import undo
from gdwatch.ledger import tables
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row, row_of
from gdwatch.ledger.transaction import Transaction, now
from gdwatch.pipeline import pipeline
from gdwatch.root import folders
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Entry
from tests.faults import careless_worker, crash_at

_notes = Path(os.devnull)  # of the run, see `crash_at.replace_noted`


def apply(name: str, notes: str) -> None:
    """Make the mistake with this name. notes: the file that tells what was replaced and reached."""
    global _notes
    _notes = Path(notes)
    MUTANTS[name].make()
    crash_at.note(_notes, "made", name)


def replace(target: str, wrapped: Callable[[Any], Any]) -> None:
    """Put a mistake in the place of a function or a constant of the product."""
    crash_at.replace_noted(target, wrapped, _notes)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake. scenario: the T of the page on faults that is there to find it."""

    scenario: str
    make: Callable[[], None]


MUTANTS: dict[str, Mutant] = {}


def mistake(scenario: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def noted(make: Callable[[], None]) -> Callable[[], None]:
        MUTANTS[make.__name__] = Mutant(scenario, make)
        return make

    return noted


def _instead(target: str, mistake: Callable[..., Any]) -> None:
    replace(target, lambda original: mistake)


def _nothing(*_: Any, **__: Any) -> None:
    """What was to be done is not."""


# ------------------------------------------------------------------------- order


def _moves_within(transaction: Transaction, rows: list[dict[str, Any]]) -> None:
    """Move the files of rows that are not committed yet."""
    found = folders.Folders(transaction.root, transaction.root + b"/inbox", {
        name: transaction.root + b"/" + name.encode() for name in ("female", "male", "unsure",
                                                                 "rejected")
    })  # fmt: skip
    with Handles(found) as handles:
        for row in rows:
            source = handles.parent(transaction.row(row["id"]).original)
            target = escaping.absolute_path(row["path"], transaction.root)
            renaming._rename(source, handles.parent(target, make=True))


@mistake("T1")
def move_before_record() -> None:
    def wrapped(original: Any) -> Any:
        def insert_files(transaction: Transaction, rows: list[dict[str, Any]]) -> None:
            original(transaction, rows)
            _moves_within(transaction, rows)

        return insert_files

    replace("gdwatch.ledger.transaction:Transaction.insert_files", wrapped)


@mistake("T1")
def one_commit_after_the_move() -> None:
    def wrapped(original: Any) -> Any:
        def insert_files(transaction: Transaction, rows: list[dict[str, Any]]) -> None:
            original(transaction, rows)
            _moves_within(transaction, rows)
            for row in rows:
                transaction.update(row["id"], state="filed", source_path=None, filed_at=now())

        return insert_files

    replace("gdwatch.ledger.transaction:Transaction.insert_files", wrapped)


@mistake("T4")
def filed_before_sync() -> None:
    sync = Handles.sync
    _instead("gdwatch.root.folder_handles:Handles.sync", _nothing)

    def wrapped(original: Any) -> Any:
        def leave(handles: Handles, *error: Any) -> None:
            sync(handles)
            original(handles, *error)

        return leave

    replace("gdwatch.root.folder_handles:Handles.__exit__", wrapped)


@mistake("T4")
def inbox_synced_first() -> None:
    def sync(handles: Handles) -> None:
        for handle in sorted((*handles._touched, *handles._left)):
            durability.os.fsync(handle)  # as it is seen there: the recorder replaces it

    _instead("gdwatch.root.folder_handles:Handles.sync", sync)


# ------------------------------------------------------------------------- syncing


@mistake("T4")
def no_folder_synced() -> None:
    _instead("gdwatch.root.folder_handles:Handles.sync", _nothing)


@mistake("T4")
def no_source_synced() -> None:
    _instead("gdwatch.files.durability:sync_contents", _nothing)


def _synchronous(level: str) -> None:
    def wrapped(original: Any) -> Any:
        def sqlite(*given: Any, **named: Any) -> sa.Engine:
            engine: sa.Engine = original(*given, **named)

            @sa.event.listens_for(engine, "connect")
            def connected(connection: Any, _: object) -> None:
                connection.execute(f"PRAGMA synchronous = {level}")

            return engine

        return sqlite

    replace("gdwatch.ledger.connection:_sqlite", wrapped)


@mistake("T4")
def synchronous_normal() -> None:
    _synchronous("NORMAL")


@mistake("T4")
def synchronous_off() -> None:
    _synchronous("OFF")


def _sync_only(is_wanted: Callable[[os.stat_result], bool]) -> None:
    def wrapped(original: Any) -> Any:
        def make_durable(descriptor: int) -> None:
            if is_wanted(os.fstat(descriptor)):
                original(descriptor)

        return make_durable

    replace("gdwatch.filing.copying:make_durable", wrapped)


@mistake("T7")
def copy_not_synced() -> None:
    _sync_only(lambda status: status.st_nlink > 0)


@mistake("T7")
def source_removed_before_copy_is_durable() -> None:
    import stat

    _sync_only(lambda status: not stat.S_ISDIR(status.st_mode))


@mistake("T7")
def copy_not_verified() -> None:
    def wrapped(original: Any) -> Any:
        def publish(original_: int, entry: Any, *others: Any) -> Any:
            kept, copying.digest = copying.digest, lambda _: entry.sha256
            try:
                return original(original_, entry, *others)
            finally:
                copying.digest = kept

        return publish

    replace("gdwatch.filing.copying:_publish_copy", wrapped)


# ------------------------------------------------------------------------- moving


@mistake("T14")
def plain_rename() -> None:
    def rename(source: content.Place, target: content.Place) -> None:
        os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])

    _instead("gdwatch.filing.renaming:_rename", rename)


@mistake("T14")
def check_then_rename() -> None:
    def rename(source: content.Place, target: content.Place) -> None:
        if target[1] in map(os.fsencode, os.listdir(target[0])):
            raise FileExistsError
        renaming.os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])

    _instead("gdwatch.filing.renaming:_rename", rename)


@mistake("T14")
def shutil_move() -> None:
    def rename_or_link(source: content.Place, target: content.Place, _: Any) -> renaming.Moved:
        paths = [os.readlink(f"/proc/self/fd/{handle}") for handle, _ in (source, target)]
        shutil.move(f"{paths[0]}/{os.fsdecode(source[1])}", f"{paths[1]}/{os.fsdecode(target[1])}")
        return renaming.Moved.DONE

    _instead("gdwatch.filing.move:rename_or_link", rename_or_link)


@mistake("T13")
def late_change_ignored() -> None:
    _instead("gdwatch.filing.move:changed_since", lambda *_: False)


# ------------------------------------------------------------------------- opening


def _without(flag: int, constant: str) -> None:
    replace(constant, lambda flags: flags & ~flag)


@mistake("T17")
def links_followed() -> None:
    for where in (
        "gdwatch.files.open_nofollow:DIRECTORY",
        "gdwatch.files.open_nofollow:PATH_ONLY",
        "gdwatch.root.folder_handles:DIRECTORY",
        "gdwatch.intake.opening:_FILE",
        "gdwatch.files.content:TO_READ",
        "gdwatch.intake.inbox_listing:os.O_NOFOLLOW",
    ):
        _without(os.O_NOFOLLOW, where)

    def stat(path: bytes, *, dir_fd: int | None = None, **_: Any) -> os.stat_result:
        return os.stat(path, dir_fd=dir_fd)

    for where in ("gdwatch.intake.inbox_listing:os.stat", "gdwatch.root.folder_handles:os.stat"):
        _instead(where, stat)


@mistake("T17")
def opened_without_nonblock() -> None:
    _without(os.O_NONBLOCK, "gdwatch.intake.opening:_FILE")


@mistake("T30")
def path_resolved_again() -> None:
    def parent(handles: Handles, path: bytes, *, make: bool = False) -> content.Place:
        holder, name = os.path.split(path)
        if make:
            os.makedirs(holder, exist_ok=True)
        if holder not in handles._open:
            handles._open[holder] = os.open(holder, open_nofollow.DIRECTORY)
        return handles._open[holder], name

    _instead("gdwatch.root.folder_handles:Handles.parent", parent)


# ------------------------------------------------------------------------- recovery


@mistake("T1")
def recovery_skipped() -> None:
    _instead("gdwatch.service.filer:Filer.file_pending", _nothing)


@mistake("T1")
def recovery_decides_again() -> None:
    _instead("gdwatch.service.filer:Filer.file_pending", _nothing)
    _instead("gdwatch.ledger.transaction:Transaction.under_way", lambda *_: set())


@mistake("T15")
def recovery_trusts_an_equal_hash() -> None:
    def wrapped(original: Any) -> Any:
        def move(entry: Any, handles: Handles, held: int | None) -> renaming.Moved:
            if moving.has_content(entry.target, entry, handles):
                folder, name = handles.parent(entry.source)
                os.unlink(name, dir_fd=folder)
                return renaming.Moved.DONE
            moved: renaming.Moved = original(entry, handles, held)
            return moved

        return move

    replace("gdwatch.filing.move:move", wrapped)


@mistake("T15")
def second_row_of_a_content_dropped() -> None:
    def wrapped(original: Any) -> Any:
        def under_way(transaction: Transaction, drops: Any) -> set[bytes]:
            sizes = set(
                transaction.connection.execute(sa.select(tables.files.c.size_bytes)).scalars()
            )
            known = {drop.path for drop in drops if drop.identity.size_bytes in sizes}
            return known | original(transaction, drops)

        return under_way

    replace("gdwatch.ledger.transaction:Transaction.under_way", wrapped)


# ------------------------------------------------------------------------- lock, hangup, waiting


@mistake("T28")
def lock_not_held() -> None:
    _instead("gdwatch.root.lock:fcntl.fcntl", _nothing)


@mistake("T28")
def lock_inherited_by_workers() -> None:
    def wrapped(original: Any) -> Any:
        def popen(*given: Any, **named: Any) -> Any:
            for entry in os.listdir("/proc/self/fd"):
                descriptor = int(entry)
                try:
                    if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/.gdwatch/lock"):
                        os.set_inheritable(descriptor, bool(descriptor))
                except OSError:
                    continue
            return original(*given, **{**named, "close_fds": False})

        return popen

    replace("gdwatch.processes.child:subprocess.Popen", wrapped)


@mistake("T27")
def model_swapped_before_its_test() -> None:
    def reload(pipe: pipeline.Pipeline) -> None:
        pipe._end()
        settings = pipe._settings
        pipe._start(pipeline.model_file.read_models(settings.model, settings.crop))

    _instead("gdwatch.pipeline.pipeline:Pipeline.reload", reload)


@mistake("T25")
def engine_started_for_ever() -> None:
    replace("gdwatch.pipeline.engine_deaths:_MOST", lambda _: 10**9)


@mistake("T12")
def settles_by_size_only() -> None:
    def wrapped(original: Any) -> Any:
        def identity_of(status: os.stat_result) -> Any:
            identity = original(status)
            return type(identity)(0, identity.size_bytes, 0, 0)

        return identity_of

    replace("gdwatch.intake.inbox:identity_of", wrapped)

    def opened(original: Any) -> Any:
        def open_drop(drop: Any, handles: Handles) -> Any:
            status = handles.lstat(drop.path)
            assert status is not None
            whole = type(drop)(drop.path, identity.identity_of(status), drop.received_at)
            return original(whole, handles)

        return open_drop

    replace("gdwatch.service.loop:open_drop", opened)


@mistake("T12")
def completed_file_left() -> None:
    _instead("gdwatch.service.completed_files:CompletedFiles.note", _nothing)


@mistake("T12")
def completed_file_keeps_its_old_hash() -> None:
    def wrapped(original: Any) -> Any:
        def judge_again(transaction: Transaction, handles: Any, row: Any, *others: Any) -> Any:
            moves = original(transaction, handles, row, *others)
            transaction.update(row.id, sha256=row.sha256)
            return moves

        return judge_again

    replace("gdwatch.filing.record_decisions:_judge_again", wrapped)


@mistake("T10")
def settles_by_wall_clock() -> None:
    _instead("gdwatch.service.loop:time.monotonic", lambda: time.time())  # as it is then


@mistake("T11")
def overflow_ignored() -> None:
    _instead("gdwatch.intake.watcher:_Overflow.emit", _nothing)


@mistake("T29")
def dead_emitter_ignored() -> None:
    def is_alive(watching: watcher.Watch) -> bool:
        return watching._observer is not None and watching._observer.is_alive()

    _instead("gdwatch.intake.watcher:Watch._is_alive", is_alive)


# ------------------------------------------------------------------------- judging, recording


@mistake("T9")
def unreadable_file_rejected() -> None:
    def wrapped(original: Any) -> Any:
        def refusal(answer: Any) -> Any:
            if answer["reason"] != "unreadable":
                return original(answer)
            return original({**answer, "reason": "damaged", "sha256": hashlib.sha256().hexdigest()})

        return refusal

    replace("gdwatch.processes.messages:_refusal", wrapped)


@mistake("T24")
def killed_service_rejects() -> None:
    """The deaths of a file are counted beyond the process that has seen them."""

    def wrapped(original: Any) -> Any:
        def give(decoding: Any, worker: Any, tasks: list[Any]) -> None:
            for task in list(tasks):
                tries = Path(f"tries-{os.fstat(task.opened.descriptor).st_ino}")
                before = tries.read_text() if tries.exists() else ""
                tries.write_text(before + "I")
                if len(before) >= 2:
                    tasks.remove(task)
                    worker.tasks.remove(task)
                    decoding._reject(task, "decoder_crashed")
            if tasks:
                original(decoding, worker, tasks)

        return give

    replace("gdwatch.pipeline.worker_pool:WorkerPool._give", wrapped)


@mistake("T24")
def poison_tried_for_ever() -> None:
    def wrapped(original: Any) -> Any:
        def died(decoding: Any, worker: Any, why: Any) -> None:
            for task in worker.tasks:
                task.deaths = 0
            original(decoding, worker, why)

        return died

    replace("gdwatch.pipeline.worker_pool:WorkerPool._replace", wrapped)


@mistake("T18")
def bombs_decoded() -> None:
    careless_worker.start(_notes)


@mistake("T16")
def names_decoded_with_replacements() -> None:
    _instead("gdwatch.files.escaping:escape", lambda name: name.decode("utf-8", "replace"))


@mistake("T20")
def locked_ledger_ignored() -> None:
    def wrapped(original: Any) -> Any:
        def record(ledger: Any, folders: Any, batches: Any, settings: Any) -> Any:
            try:
                return original(ledger, folders, batches, settings)
            except Trouble:
                return [[] for _ in batches]

        return record

    replace("gdwatch.service.filer:record", wrapped)


@mistake("T23")
def another_ledger_ignored() -> None:
    _instead("gdwatch.ledger.opening:device_and_inode", _nothing)


# ------------------------------------------------------------------------- people's words


@mistake("T32")
def hand_move_taken_for_a_drop() -> None:
    _instead("gdwatch.filing.found_files:look", lambda *_: [])


@mistake("T33")
def correction_lost() -> None:
    _instead("gdwatch.ledger.transaction:Transaction.correct", _nothing)


@mistake("T33")
def decision_overwritten() -> None:
    def wrapped(original: Any) -> Any:
        def insert_results(transaction: Transaction, rows: list[dict[str, Any]]) -> None:
            for row in rows:
                named = tables.results.c.file_id == row["file_id"]
                changed = transaction.connection.execute(
                    sa.update(tables.results).where(named).values(rules=row["rules"])
                )
                if not changed.rowcount:
                    original(transaction, [row])

        return insert_results

    replace("gdwatch.ledger.transaction:Transaction.insert_results", wrapped)


@mistake("T34")
def original_moved() -> None:
    _instead("gdwatch.filing.move:stays", lambda *_: False)


@mistake("T34")
def original_forgotten() -> None:
    _instead("gdwatch.ledger.originals:remember", _nothing)


@mistake("T34")
def original_known_by_its_inode_alone() -> None:
    def wrapped(original: Any) -> Any:
        def unchanged(ledger: Any, files: Any) -> set[bytes]:
            query = sa.select(tables.originals.c.inode)
            with ledger.reading() as connection:
                inodes = set(connection.execute(query).scalars())
            return original(ledger, files) | {
                path for path, identity in files.items() if identity.inode in inodes
            }

        return unchanged

    replace("gdwatch.ledger.originals:unchanged", wrapped)


@mistake("T34")
def restore_forgets_what_it_could_not_do() -> None:
    _instead("gdwatch.ledger.transaction:Transaction.mark_not_restored", _nothing)


@mistake("T33")
def undo_that_undoes_half() -> None:
    take_back = undo._take_back

    def half(transaction: Transaction, handles: Handles, rows: Any, *others: Any) -> None:
        take_back(transaction, handles, rows[: len(rows) // 2], *others)

    _instead("gdwatch.jobs.undo:_take_back", half)


# ------------------------------------------------------------------------- several roots


@mistake("T35")
def rows_of_every_root_moved() -> None:
    def pending(ledger: Ledger, after: int = 0, limit: int = 256) -> list[Entry]:
        query = sa.select(tables.files).where(
            tables.files.c.state == "recorded", tables.files.c.id > after
        )
        with ledger.reading() as connection:
            rows = [row_of(each, ledger.root) for each in connection.execute(query.limit(limit))]
        return [
            Entry(row.id, row.source or row.path, row.path, row.sha256, row.size_bytes,
                  row.modified_ns)
            for row in rows
        ]  # fmt: skip

    _instead("gdwatch.ledger.ledger:Ledger.pending", pending)


@mistake("T35")
def bytes_of_every_root_known() -> None:
    def first_with(transaction: Transaction, hashes: set[str]) -> dict[str, Row]:
        query = sa.select(tables.files).where(tables.files.c.sha256.in_(hashes))
        rows = [row_of(each, transaction.root) for each in transaction.connection.execute(query)]
        return {row.sha256: row for row in reversed(rows) if row.sha256 is not None}

    _instead("gdwatch.ledger.transaction:Transaction.first_with", first_with)


@mistake("T35")
def wrong_ledger_taken() -> None:
    def find(connection: sa.Connection, uuid: str) -> int | None:
        return connection.execute(
            sa.select(tables.roots.c.id).where(tables.roots.c.uuid == uuid)
        ).scalar()

    _instead("gdwatch.ledger.roots:find", find)
