"""How fast batches are recorded and marked in an empty ledger and in one of millions of rows.

    python -m tests.bench.ledger_size --rows 2000000 [--postgresql] [--work FOLDER]

Both ledgers lie on the same disk and get the same batches in turns, so that whatever else the
machine does meets both. What is timed is all that the service asks of a ledger for a batch: known
names and bytes, ids, rows, results, the commit; then the marks, the moves, and their commit. The
bytes of a photograph are random to an index on them: that index is what grows.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gdwatch.ledger import opening, originals
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.transaction import result_row
from gdwatch.pipeline import decide
from gdwatch.settings import Settings
from gdwatch.values import Batch, Drop, Entry, Header, Identity, Judged, Opened, Photo, Scores
from tests import build
from tests.bench.large_ledger import fill
from tests.gdwatch.conftest import P_MALE, RULES
from tests.postgresql import new_database, server

_FILES = 32  # in a batch


def batch_of(number: int) -> list[Judged]:
    """So many photographs as a batch has, none of which is anywhere."""
    header = Header(640, 480, "JPEG")
    made = []
    for index in range(_FILES):
        path = b"/root/inbox/new/%d/%d.jpg" % (number, index)
        identity = Identity(1, number * _FILES + index + 1, 123_456, 1_700_000_000_000_000_000)
        opened = Opened(Drop(path, identity, datetime.now(UTC)), -1)
        photo = Photo(os.urandom(32).hex(), header, (32, 32), 2.0)
        decision = decide.decide(Scores(P_MALE["male"]), header, photo.size, RULES)
        made.append(Judged(opened, photo, decision, build.serving()))
    return made


def file(ledger: Ledger, judged: list[Judged]) -> None:
    """Record a batch and mark it filed, as `record` and `file_entries` do, but for the files."""
    drops = [each.opened.drop for each in judged]
    moment = datetime.now(UTC).replace(tzinfo=None)
    with ledger.writing() as transaction:
        transaction.under_way(drops)
        originals.recognise(transaction, judged)
        model = transaction.model_id(judged[0].model)
        batch = Batch(tuple(judged), judged[0].model, "cpu", 3.0, moment, moment)
        batch_id = transaction.batch(batch, model)
        ids = transaction.new_ids(len(judged))
        transaction.first_with({each.decoded.sha256 for each in judged if each.decoded.sha256})
        entries = [_entry(row, each) for row, each in zip(ids, judged, strict=True)]
        transaction.at({entry.target for entry in entries})
        transaction.insert_files(
            [
                {
                    **transaction.file_row(entry, each.decision, moment, moment),
                    "model_id": model,
                    "duplicate_of": None,
                }
                for entry, each in zip(entries, judged, strict=True)
            ]
        )
        transaction.insert_results(
            [result_row(row, each, model, batch_id) for row, each in zip(ids, judged, strict=True)]
        )
        transaction.make_newest_current(ids)
    with ledger.writing() as transaction:
        transaction.mark_filed(entries)


def _entry(row: int, judged: Judged) -> Entry:
    drop = judged.opened.drop
    target = drop.path.replace(b"/inbox/", b"/male/")
    seen = drop.identity
    return Entry(row, drop.path, target, judged.decoded.sha256, seen.size_bytes, seen.modified_ns)


def compare(ledgers: list[Ledger], rounds: int, batches: int) -> list[list[float]]:
    """Batches a second in each ledger, by round."""
    rates: list[list[float]] = [[] for _ in ledgers]
    number = 0
    for each in range(rounds + 1):
        for place in (0, 1) if each % 2 else (1, 0):
            given = [batch_of(number + index) for index in range(batches)]
            number += batches
            began = time.perf_counter()
            for judged in given:
                file(ledgers[place], judged)
            if each:  # the first round warms up
                rates[place].append(batches / (time.perf_counter() - began))
    return rates


@contextlib.contextmanager
def _ledgers(work: Path, *, postgresql: bool) -> Iterator[list[Ledger]]:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(server(work / "server")) if postgresql else ""
        opened = []
        for name in ("without", "with_rows"):
            database = new_database(url, name) if postgresql else f"sqlite:///{work}/{name}.db"
            settings = Settings(root=Path("/root"), database=database)
            opened.append(opening.open_ledger(settings, "a-root", serve=True))
            stack.callback(opened[-1].close)
        yield opened


def main() -> None:
    """Fill, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ledger_size")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--postgresql", action="store_true", help="on a server of its own")
    parser.add_argument("--work", type=Path, help="folder to work in; its disk is measured")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=40, help="in each round")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.work, prefix="gdwatch-ledger-") as folder:
        work = Path(folder)
        (work / "server").mkdir()
        with _ledgers(work, postgresql=given.postgresql) as ledgers:
            for ledger in ledgers:
                file(ledger, batch_of(10**7))  # the model's row, and the batch's
            began = time.perf_counter()
            fill(ledgers[1].engine, given.rows)
            print(f"{given.rows} rows made in {time.perf_counter() - began:.0f} s", flush=True)
            empty, full = compare(ledgers, given.rounds, given.batches)
    kind = "PostgreSQL" if given.postgresql else "SQLite"
    ratios = [b / a for a, b in zip(empty, full, strict=True)]
    print(f"{kind}: batches of {_FILES} a second, medians: {statistics.median(empty):.0f} with no "
          f"rows, {statistics.median(full):.0f} with {given.rows}; "
          f"ratio by round {min(ratios):.2f} to {max(ratios):.2f}, "
          f"median {statistics.median(ratios):.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
