"""gdwatch with one mistake each, put into a run's own process: the oracle must find every one.

The mistakes are those that a change to order, syncing, moving, recovery or waiting might bring.
The product knows nothing of them.
"""

import itertools
import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from gdwatch import filing, folders, ledger, names, pipeline, read, tables
from tests.faults.crash_at import replace


def apply(name: str) -> None:
    """Make the mistake with this name."""
    MUTANTS[name]()


def _instead(target: str, mistake: Callable[..., Any]) -> None:
    replace(target, lambda original: mistake)


def _nothing(*_: Any, **__: Any) -> None:
    """What was to be done is not."""


# ------------------------------------------------------------------------- order


def _moves_within(pen: ledger.Pen, rows: list[dict[str, Any]]) -> None:
    """Move the files of rows that are not committed yet."""
    found = folders.Folders(pen.ledger.root, pen.ledger.root + b"/inbox", {
        name: pen.ledger.root + b"/" + name.encode() for name in ("female", "male", "unsure",
                                                                 "rejected")
    })  # fmt: skip
    with folders.Handles(found) as handles:
        for row in rows:
            source = handles.parent(pen.row(row["row"]).original)
            target = names.absolute(row["path"], pen.ledger.root)
            filing._rename(source, handles.parent(target, make=True))


def move_before_record() -> None:
    def wrapped(original: Any) -> Any:
        def send(pen: ledger.Pen, rows: list[dict[str, Any]]) -> None:
            original(pen, rows)
            _moves_within(pen, rows)

        return send

    replace("gdwatch.ledger:Pen.send", wrapped)


def one_commit_after_the_move() -> None:
    def wrapped(original: Any) -> Any:
        def send(pen: ledger.Pen, rows: list[dict[str, Any]]) -> None:
            original(pen, rows)
            _moves_within(pen, rows)
            for row in rows:
                pen.update(row["row"], state="filed", source_path=None, filed_at=ledger.now())

        return send

    replace("gdwatch.ledger:Pen.send", wrapped)


def filed_before_sync() -> None:
    sync = folders.Handles.sync
    _instead("gdwatch.folders:Handles.sync", _nothing)

    def wrapped(original: Any) -> Any:
        def leave(handles: folders.Handles, *error: Any) -> None:
            sync(handles)
            original(handles, *error)

        return leave

    replace("gdwatch.folders:Handles.__exit__", wrapped)


def inbox_synced_first() -> None:
    def sync(handles: folders.Handles) -> None:
        for handle in sorted((*handles._touched, *handles._left)):
            folders.os.fsync(handle)

    _instead("gdwatch.folders:Handles.sync", sync)


# ------------------------------------------------------------------------- syncing


def no_folder_synced() -> None:
    _instead("gdwatch.folders:Handles.sync", _nothing)


def no_source_synced() -> None:
    _instead("gdwatch.filing:sync_contents", _nothing)


def _synchronous(level: str) -> None:
    def wrapped(original: Any) -> Any:
        def sqlite(*given: Any, **named: Any) -> sa.Engine:
            engine: sa.Engine = original(*given, **named)

            @sa.event.listens_for(engine, "connect")
            def connected(connection: Any, _: object) -> None:
                connection.execute(f"PRAGMA synchronous = {level}")

            return engine

        return sqlite

    replace("gdwatch.database:_sqlite", wrapped)


def synchronous_normal() -> None:
    _synchronous("NORMAL")


def synchronous_off() -> None:
    _synchronous("OFF")


def _sync_only(is_wanted: Callable[[os.stat_result], bool]) -> None:
    def wrapped(original: Any) -> Any:
        def make_durable(descriptor: int) -> None:
            if is_wanted(os.fstat(descriptor)):
                original(descriptor)

        return make_durable

    replace("gdwatch.filing:make_durable", wrapped)


def copy_not_synced() -> None:
    _sync_only(lambda status: status.st_nlink > 0)


def source_removed_before_copy_is_durable() -> None:
    import stat

    _sync_only(lambda status: not stat.S_ISDIR(status.st_mode))


def copy_not_verified() -> None:
    def wrapped(original: Any) -> Any:
        def publish(original_: int, entry: Any, *others: Any) -> Any:
            kept, filing.digest = filing.digest, lambda _: entry.sha256
            try:
                return original(original_, entry, *others)
            finally:
                filing.digest = kept

        return publish

    replace("gdwatch.filing:_publish_copy", wrapped)


# ------------------------------------------------------------------------- moving


def plain_rename() -> None:
    def rename(source: filing.Place, target: filing.Place) -> None:
        os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])

    _instead("gdwatch.filing:_rename", rename)


def check_then_rename() -> None:
    def rename(source: filing.Place, target: filing.Place) -> None:
        if target[1] in map(os.fsencode, os.listdir(target[0])):
            raise FileExistsError
        filing.os.rename(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0])

    _instead("gdwatch.filing:_rename", rename)


def shutil_move() -> None:
    def rename_or_link(source: filing.Place, target: filing.Place, _: Any) -> filing.Moved:
        paths = [os.readlink(f"/proc/self/fd/{handle}") for handle, _ in (source, target)]
        shutil.move(f"{paths[0]}/{os.fsdecode(source[1])}", f"{paths[1]}/{os.fsdecode(target[1])}")
        return filing.Moved.DONE

    _instead("gdwatch.filing:_rename_or_link", rename_or_link)


# ------------------------------------------------------------------------- recovery


def recovery_skipped() -> None:
    _instead("gdwatch.service:_Service._grant_wishes", _nothing)


def recovery_decides_again() -> None:
    _instead("gdwatch.service:_Service._grant_wishes", _nothing)
    _instead("gdwatch.ledger:Pen.under_way", lambda *_: set())


def recovery_trusts_an_equal_hash() -> None:
    def wrapped(original: Any) -> Any:
        def move(entry: Any, handles: folders.Handles, held: int | None) -> filing.Moved:
            if filing._has_content(entry.target, entry, handles):
                folder, name = handles.parent(entry.source)
                os.unlink(name, dir_fd=folder)
                return filing.Moved.DONE
            moved: filing.Moved = original(entry, handles, held)
            return moved

        return move

    replace("gdwatch.filing:move", wrapped)


def second_row_of_a_content_dropped() -> None:
    def wrapped(original: Any) -> Any:
        def under_way(pen: ledger.Pen, drops: Any) -> set[bytes]:
            sizes = set(pen.connection.execute(sa.select(tables.files.c.size_bytes)).scalars())
            known = {drop.path for drop in drops if drop.identity.size_bytes in sizes}
            return known | original(pen, drops)

        return under_way

    replace("gdwatch.ledger:Pen.under_way", wrapped)


# ------------------------------------------------------------------------- lock, hangup, waiting


def lock_not_held() -> None:
    _instead("gdwatch.lock:fcntl.fcntl", _nothing)


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

    replace("gdwatch.children:subprocess.Popen", wrapped)


def model_swapped_before_its_test() -> None:
    def reload(pipe: pipeline.Pipeline) -> None:
        pipe._end()
        pipe._start(pipeline.model_file.read(pipeline.model_file.find(pipe._settings.model)))

    _instead("gdwatch.pipeline:Pipeline.reload", reload)


def engine_started_for_ever() -> None:
    pipeline._ENGINE_DEATHS = 10**9


def settles_by_size_only() -> None:
    def wrapped(original: Any) -> Any:
        def identity_of(status: os.stat_result) -> Any:
            identity = original(status)
            return type(identity)(0, identity.size_bytes, 0, 0)

        return identity_of

    replace("gdwatch.inbox:identity_of", wrapped)

    def opened(original: Any) -> Any:
        def open_drop(drop: Any, handles: folders.Handles) -> Any:
            status = handles.lstat(drop.path)
            assert status is not None
            whole = type(drop)(drop.path, read.identity_of(status), drop.received_at)
            return original(whole, handles)

        return open_drop

    replace("gdwatch.service:open_drop", opened)


def settles_by_a_clock_that_jumps() -> None:
    began, ticks = time.monotonic(), itertools.count()

    def monotonic() -> float:
        # Somebody sets the clock forward by a year, again and again.
        return time.monotonic() + (time.monotonic() - began > 0.2) * next(ticks) * 31e6

    _instead("gdwatch.service:time.monotonic", monotonic)


MUTANTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        move_before_record, one_commit_after_the_move, filed_before_sync, inbox_synced_first,
        no_folder_synced, no_source_synced, synchronous_normal, synchronous_off, copy_not_synced,
        source_removed_before_copy_is_durable, copy_not_verified, plain_rename, check_then_rename,
        shutil_move, recovery_skipped, recovery_decides_again, recovery_trusts_an_equal_hash,
        second_row_of_a_content_dropped, lock_not_held, lock_inherited_by_workers,
        model_swapped_before_its_test, engine_started_for_ever, settles_by_size_only,
        settles_by_a_clock_that_jumps,
    )
}  # fmt: skip
