"""`gdwatch export`: the rows of `current_results` as a file for other programs."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from gdwatch.commands.output import spreadsheet_safe
from gdwatch.commands.output_file import replaced
from gdwatch.errors import ActionNeeded, GdwatchError, UsageError
from gdwatch.files.atomic_write import replacing
from gdwatch.ledger.opening import open_to_read
from gdwatch.ledger.view import COLUMNS, Chosen, pages
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

Format = Literal["csv", "jsonl", "parquet"]
Pages = Iterator[Sequence[Any]]


def export(settings: Settings, chosen: Chosen, format_: Format, output: Path | None) -> None:
    """Write rows by id, in memory that does not grow with their number.

    output: a file that is there whole or not at all; None: standard output.

    Raises UsageError for Parquet without a file, ActionNeeded without pyarrow, GdwatchError for a
    file that cannot be written, and as `pages`.
    """
    with closing(open_to_read(settings, root_id.read_id(Folders.of(settings)))) as ledger:
        found = pages(ledger, chosen)
        if format_ == "parquet":
            _to_parquet(found, output)
            return
        with nullcontext(sys.stdout) if output is None else replaced(output) as stream:
            _TEXTS[format_](found, stream)
            stream.flush()


def since(text: str | None) -> datetime | None:
    """Return a day or time as the ledger has it: UTC without a zone; naive text is UTC.

    Raises UsageError.
    """
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
        return given.astimezone(UTC).replace(tzinfo=None) if given.tzinfo else given
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"--since {text}: no day or time", "write 2026-11-23 or 2026-11-23T18:04:05"
        ) from error


def _to_csv(found: Pages, stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rows in found:
        writer.writerows(["" if v is None else _in_csv(v) for v in row] for row in rows)


def _in_csv(value: Any) -> Any:
    return _time(value) if isinstance(value, datetime) else spreadsheet_safe(value)


def _time(value: datetime) -> str:
    return value.isoformat(timespec="microseconds") + "Z"


def _to_jsonl(found: Pages, stream: TextIO) -> None:
    for rows in found:
        for row in rows:
            values = (_time(v) if isinstance(v, datetime) else v for v in row)
            line = json.dumps(dict(zip(COLUMNS, values, strict=True)), ensure_ascii=False)
            stream.write(line + "\n")


_TEXTS: dict[str, Callable[[Pages, TextIO], None]] = {"csv": _to_csv, "jsonl": _to_jsonl}


def _to_parquet(found: Pages, output: Path | None) -> None:
    if output is None:
        raise UsageError("export: Parquet needs a file", "name it with -o")
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ActionNeeded(
            f"--format parquet needs {error.name}", "pip install 'gdwatch[parquet]'"
        ) from error
    kinds = {
        int: pa.int64(), float: pa.float64(), str: pa.string(),
        datetime: pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    try:
        with replacing(output) as aside, pq.ParquetWriter(aside, schema) as writer:
            for rows in found:
                columns = [
                    pa.array(values, type=field.type)
                    for values, field in zip(zip(*rows, strict=True), schema, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)  # Arrow has words of its own
        raise GdwatchError(f"{output}: {why}", "name another file with -o") from error
