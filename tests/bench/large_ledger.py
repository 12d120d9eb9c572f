"""A ledger of millions of made-up rows, as two years of a busy service would leave it.

    python -m tests.bench.large_ledger FILE --rows 2000000

Half are female, nearly half male, 5 % unsure, 1 % rejected. Three models followed each other, and
every nineteenth photograph was judged by another one as well, as `reprocess` without `--move` does.
Every fiftieth is a duplicate of the one before, every hundredth has a person's word, every
two-hundredth was moved by hand.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from gdwatch.ledger import opening
from gdwatch.settings import Settings

YEARS_TWO = timedelta(days=730)
_STEP = 250_000  # rows inserted in one transaction
_MODELS = (("fast", "0.3.0"), ("fast", "0.4.0"), ("auto", "0.4.1"))
_BATCH = 32
_FIRST = 1000  # the first id is one more: what a ledger has already keeps its own

_COUNTED = {
    "sqlite": "WITH RECURSIVE counted (n) AS (SELECT :first UNION ALL"
    " SELECT n + 1 FROM counted WHERE n < :last) {} FROM counted",
    "postgresql": "{} FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS n",
}
_WORDS = {
    "sqlite": {
        # The bytes of a photograph are random to an index on them.
        "hash": "lower(hex(randomblob(32)))",
        "moment": "strftime('%Y-%m-%d %H:%M:%f000', :began + n * :apart, 'unixepoch')",
        "taken": "strftime('%Y-%m-%dT%H:%M:%S', :began + n * :apart - 86400, 'unixepoch')",
        "confidence": "0.9 + n * 7919 % 10000 / 100000.0",
        "doubt": "0.5 + n * 7919 % 4000 / 10000.0",
    },
    "postgresql": {
        "hash": "encode(sha256((n || 'photograph')::bytea), 'hex')",
        "moment": "to_timestamp(:began + n * :apart) AT TIME ZONE 'UTC'",
        "taken": "to_char(to_timestamp(:began + n * :apart - 86400) AT TIME ZONE 'UTC',"
        " 'YYYY-MM-DD\"T\"HH24:MI:SS')",
        "confidence": "0.9 + n::bigint * 7919 % 10000 / 100000.0",
        "doubt": "0.5 + n::bigint * 7919 % 4000 / 10000.0",
    },
}
_OUTCOME = (
    "CASE WHEN n % 100 < 48 THEN 'female' WHEN n % 100 < 94 THEN 'male'"
    " WHEN n % 100 < 99 THEN 'unsure' ELSE 'rejected' END"
)
_REASON = (
    "CASE WHEN n % 100 < 94 THEN NULL WHEN n % 100 = 99 THEN 'truncated'"
    " WHEN n % 3 = 0 THEN 'several_faces' ELSE 'low_confidence' END"
)
_LABEL = (
    "CASE WHEN n % 100 = 99 THEN NULL WHEN n % 100 < 48 OR n % 100 IN (94, 96) THEN 'female'"
    " ELSE 'male' END"
)
_CAMERA = (
    "CASE n % 7 WHEN 0 THEN NULL WHEN 1 THEN 'Canon EOS R6' WHEN 2 THEN 'Apple iPhone 12'"
    " ELSE 'NIKON Z 6' END"
)
_NAME = "'IMG_' || (n % 10000) || '.jpg'"
_FOLDER = "(n / 1000) || '/' || " + _NAME
_CONFIDENCE = (
    "CASE WHEN n % 100 < 94 THEN {confidence} WHEN n % 100 < 99 THEN {doubt} ELSE NULL END"
)
_SAID = "CASE WHEN n % 400 = 0 THEN 'neither' WHEN n % 300 = 0 THEN 'female' ELSE 'male' END"

_FILL = (
    # Batches, files and results, then what became of some of them.
    "INSERT INTO batches (id, model_id, device, files, decode_ms, infer_ms, started_at,"
    " finished_at) SELECT * FROM ({counted_batches}) AS made",
    "INSERT INTO files (id, root_id, sha256, size_bytes, modified_ns, name, original_path, path,"
    " state, outcome, reason, model_id, duplicate_of, received_at, recorded_at, filed_at,"
    " moved_at, result_id, taken_at, camera, mode)"
    " SELECT * FROM ({counted_files}) AS made",
    "INSERT INTO results (id, file_id, model_id, rules, outcome, reason, label, p_male,"
    " confidence, faces, width, height, format, batch_id, decided_at, crop, min_confidence)"
    " SELECT * FROM ({counted_results}) AS made",
    "INSERT INTO moves (id, file_id, from_path, to_path, why, moved_at)"
    " SELECT * FROM ({counted_moves}) AS made",
    "INSERT INTO moves (id, file_id, from_path, to_path, why, moved_at)"
    " SELECT * FROM ({counted_hand}) AS made",
    'INSERT INTO corrections (file_id, label, "by", at, how)'
    " SELECT * FROM ({counted_corrections}) AS made",
)
_SELECTED = {
    "counted_batches": "SELECT :zero + n, {model}, 'cpu', 32, 64.0 + n % 50, 32.0 + n % 40,"
    " {moment}, {moment}",
    "counted_files": "SELECT :zero + n, 1, {hash}, 100000 + n % 900000,"
    " 1700000000000000000 + n, {name}, 'inbox/' || {folder}, {outcome} || '/' || {folder},"
    " 'filed', {outcome}, {reason}, {model},"
    " CASE WHEN n % 50 = 0 THEN :zero + n - 1 ELSE NULL END,"
    " {moment}, {moment}, {moment}, {moment}, :zero + n, {taken}, {camera}, 'move'",
    "counted_results": "SELECT :zero + n, :zero + n, {model}, 'crop=face', {outcome}, {reason},"
    " {label}, CASE {label} WHEN 'male' THEN {confidences} ELSE 1 - {confidences} END,"
    " {confidences},"
    " CASE WHEN n % 31 = 0 THEN 2 ELSE 1 END, 640, 480, 'JPEG', :zero + NULLIF(n / 32 * 32, 0),"
    " {moment}, 'face', 0.9",
    "counted_moves": "SELECT :zero + n, :zero + n, 'inbox/' || {folder},"
    " {outcome} || '/' || {folder}, 'run', {moment}",
    "counted_hand": "SELECT :zero + :count + n, :zero + n, {outcome} || '/' || {folder},"
    " 'male/' || {folder}, 'hand', {moment}",
    "counted_corrections": "SELECT :zero + n, {said}, CASE n % 3 WHEN 0 THEN 'erika' ELSE"
    " 'robin' END, {moment}, 'command'",
}
_EVERY = {"counted_batches": _BATCH, "counted_hand": 200, "counted_corrections": 100}
_AGAIN = (
    "INSERT INTO results (file_id, model_id, rules, outcome, reason, label, p_male, confidence,"
    " faces, width, height, format, decided_at, crop, min_confidence)"
    " SELECT file_id, CASE WHEN model_id = :newest THEN :before ELSE :newest END, 'crop=face',"
    " CASE WHEN outcome = 'unsure' THEN label ELSE outcome END, NULL, label, p_male, 0.95,"
    " faces, width, height, format, {now}, crop, min_confidence"
    " FROM results WHERE id % 19 = 0 AND outcome <> 'rejected'"
)
_NOW = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', :ended, 'unixepoch')",
    "postgresql": "to_timestamp(:ended) AT TIME ZONE 'UTC'",
}
_QUICKLY = {  # a cache for whole indexes
    "sqlite": ["PRAGMA cache_size = -1000000", "PRAGMA defer_foreign_keys = ON"],
    # Rows and results refer to each other.
    "postgresql": [
        "SET LOCAL synchronous_commit = off",
        "SET LOCAL session_replication_role = replica",
    ],
}


def fill(engine: sa.Engine, count: int) -> None:
    """Insert so many filed photographs into the first root of a ledger, the last one of now.

    Their ids follow each other from 1001.
    """
    kind = engine.dialect.name
    ended = datetime.now(UTC).timestamp()
    given = {
        "zero": _FIRST,
        "count": count,
        "began": ended - YEARS_TWO.total_seconds(),
        "apart": YEARS_TWO.total_seconds() / count,
    }
    with engine.begin() as connection:
        models = [_model(connection, *each) for each in _MODELS]
    third = count // len(_MODELS) + 1
    for first in range(1, count + 1, _STEP):
        given |= {"first": first, "last": min(first + _STEP - 1, count)}
        _insert(engine, _statements(kind, models, third), given)
    if kind == "postgresql":
        with engine.begin() as connection:
            for table in ("batches", "files", "results", "moves"):
                numbers = f"pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table})"
                connection.execute(sa.text(f"SELECT setval({numbers})"))
    others = {"newest": models[-1], "before": models[-2], "ended": ended}
    _insert(engine, [_AGAIN.format(now=_NOW[kind])], others)
    if kind == "postgresql":
        with engine.begin() as connection:
            connection.execute(sa.text("ANALYZE"))  # as its autovacuum does; SQLite has none
    engine.dispose()  # the connections with the large cache


def _model(connection: sa.Connection, name: str, version: str) -> int:
    statement = sa.text(
        "INSERT INTO models (sha256, name, version, first_used_at, details)"
        " VALUES (:sha256, :name, :version, CURRENT_TIMESTAMP, '{}') RETURNING id"
    )
    row = {"sha256": f"made-up {name} {version}", "name": name, "version": version}
    return int(connection.execute(statement, row).scalar_one())


def _statements(kind: str, models: Sequence[int], third: int) -> list[str]:
    words = {
        **_WORDS[kind],
        "outcome": _OUTCOME,
        "reason": _REASON,
        "label": _LABEL,
        "camera": _CAMERA,
        "name": _NAME,
        "folder": _FOLDER,
        "said": _SAID,
        "confidences": "(" + _CONFIDENCE.format(**_WORDS[kind]) + ")",
        "model": f"{models[0]} + (n - 1) / {third}",
    }
    selected = {}
    for name, text in _SELECTED.items():
        counted = _COUNTED[kind].format(text.format(**words))
        selected[name] = f"{counted} WHERE n % {_EVERY[name]} = 0" if name in _EVERY else counted
    return [each.format(**selected) for each in _FILL]


def _insert(engine: sa.Engine, statements: Sequence[str], given: dict[str, float | int]) -> None:
    with engine.begin() as connection:
        for each in _QUICKLY[engine.dialect.name]:
            connection.execute(sa.text(each))
        for each in statements:
            text = sa.text(each)
            wanted = set(text.compile().params)
            connection.execute(text, {name: given[name] for name in wanted})


def main() -> None:
    """Make a SQLite ledger."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large_ledger")
    parser.add_argument("file", type=Path, help="a new SQLite file")
    parser.add_argument("--rows", type=int, default=2_000_000)
    given = parser.parse_args()
    began = time.perf_counter()
    settings = Settings(root=given.file.resolve().parent, database=f"sqlite:///{given.file}")
    ledger = opening.open_ledger(settings, "made-up", serve=True)
    try:
        fill(ledger.engine, given.rows)
    finally:
        ledger.close(last=True)
    print(f"{given.rows} rows made in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
