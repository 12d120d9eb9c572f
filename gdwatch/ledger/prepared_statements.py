"""The statements of every batch, compiled once.

To build a statement and look up its compiled form takes longer than the database takes to run it.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, CursorResult, Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from gdwatch.ledger.tables import (
    batches,
    changes,
    commands,
    corrections,
    files,
    models,
    moves,
    originals,
    results,
)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement compiled for one dialect.

    constants: parameters whose values are part of the statement.
    converters: by parameter, from a value to what the driver accepts.
    order: puts parameters in order, for a dialect with positional ones; else None.
    """

    text: str
    constants: Mapping[str, Any]
    converters: Mapping[str, Callable[[Any], Any]]
    order: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None

    def parameters(self, row: Mapping[str, Any]) -> Any:
        """Return the driver's parameters for a row."""
        given = {**self.constants, **row}
        for name, convert in self.converters.items():
            if given[name] is not None:
                given[name] = convert(given[name])
        return given if self.order is None else self.order(given)


class Prepared:
    """A statement that is compiled once per dialect and then only executed.

    SQLAlchemy's own execution processes each value of each row, which takes longer than the
    database does. Results come as the driver gives them: numbers and text, not times.

    make: builds the statement for a dialect's name. columns: those that an INSERT sets.
    """

    def __init__(
        self, make: Callable[[str], sa.Executable], columns: Iterable[Column[Any]] = ()
    ) -> None:
        self._make = make
        self._columns = [column.name for column in columns]
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, *rows: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute the statement once for each row of parameters, by name; at least one row."""
        compiled = self._for(connection.dialect)
        return connection.exec_driver_sql(compiled.text, [compiled.parameters(row) for row in rows])

    def _for(self, dialect: Dialect) -> _Compiled:
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = self._compile(dialect)
        return self._compiled[dialect.name]

    def _compile(self, dialect: Dialect) -> _Compiled:
        # Every statement has `compile`, but sa.Executable does not declare it.
        compiled: Any = self._make(dialect.name).compile(  # type: ignore[attr-defined]
            dialect=dialect, column_keys=self._columns or None
        )
        converters = {name: _converter(bind.type, dialect) for name, bind in compiled.binds.items()}
        return _Compiled(
            compiled.string,
            {name: bind.value for name, bind in compiled.binds.items() if not bind.required},
            {name: convert for name, convert in converters.items() if convert is not None},
            _values_of(compiled.positiontup) if compiled.positional else None,
        )


def _converter(type_: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    convert = type_.dialect_impl(dialect).bind_processor(dialect)
    if convert is None or not isinstance(type_, sa.DateTime):
        return convert
    return functools.lru_cache(maxsize=8)(convert)  # the rows of a batch share their times


def _values_of(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)


def _among(column: Column[Any], name: str, dialect: str) -> sa.ColumnElement[bool]:
    """Return the condition that a column is in a list, which is one parameter of any length."""
    if dialect == "sqlite":
        listed = sa.func.json_each(sa.bindparam(name, type_=sa.JSON)).table_valued("value")
        return column.in_(sa.select(listed.c.value))
    return column == sa.any_(sa.bindparam(name, type_=postgresql.ARRAY(column.type)))


def _new_ids(dialect: str) -> sa.Executable:
    """Return the statement that yields `count` unused ids for `files`.

    SQLite has one writer at a time: the ids follow the highest ever used; PostgreSQL has a
    sequence.
    """
    if dialect == "sqlite":
        given = "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'files')"
        last = f"max({given}, (SELECT coalesce(max(id), 0) FROM files))"
        counted = f"SELECT {last} + 1 UNION ALL SELECT id + 1 FROM new WHERE id < {last} + :count"
        return sa.text(f"WITH RECURSIVE new (id) AS ({counted}) SELECT id FROM new")
    given = "nextval(pg_get_serial_sequence('files', 'id'))"
    return sa.text(f"SELECT {given} FROM generate_series(1, :count)")


def _insert_model(dialect: str) -> sa.Executable:
    insert = sqlite.insert(models) if dialect == "sqlite" else postgresql.insert(models)
    return insert.on_conflict_do_nothing(index_elements=["sha256"]).inline()


# Literals, not parameters: whether a partial index serves depends on these values, so that SQLite
# would plan a statement with parameters again for every row.
_recorded = files.c.state == sa.literal_column("'recorded'")
_not_missing = files.c.state != sa.literal_column("'missing'")
_root = files.c.root_id == sa.bindparam("root_id")
_at = sa.bindparam("at", type_=files.c.filed_at.type)
_as_read = sa.and_(
    files.c.id == sa.bindparam("row"),
    files.c.path == sa.bindparam("as_read"),
    _recorded,
)

PENDING = Prepared(
    lambda _: (
        sa.select(
            files.c.id,
            files.c.source_path,
            files.c.path,
            files.c.sha256,
            files.c.size_bytes,
            files.c.modified_ns,
            files.c.mode,
            files.c.restored_to,
        )
        .where(_root, _recorded, files.c.id > sa.bindparam("after"))
        .order_by(files.c.id)
        .limit(sa.bindparam("most"))
    )
)
MODEL_ID = Prepared(
    lambda _: sa.select(models.c.id).where(models.c.sha256 == sa.bindparam("model"))
)
# Roots share the models: another one may insert the same at this moment.
INSERT_MODEL = Prepared(_insert_model, [column for column in models.c if column.name != "id"])
INSERT_BATCH = Prepared(
    lambda _: sa.insert(batches).returning(batches.c.id),
    [column for column in batches.c if column.name != "id"],
)
NEW_IDS = Prepared(_new_ids)
INSERT_FILES = Prepared(lambda _: sa.insert(files).inline(), files.c)
INSERT_RESULTS = Prepared(
    lambda _: sa.insert(results).inline(), [column for column in results.c if column.name != "id"]
)
INSERT_CHANGES = Prepared(
    lambda _: sa.insert(changes).inline(), [column for column in changes.c if column.name != "id"]
)
INSERT_CORRECTIONS = Prepared(
    lambda _: sa.insert(corrections).inline(),
    [column for column in corrections.c if column.name != "id"],
)
# A file's newest result becomes its current one.
NEWEST_RESULT = Prepared(
    lambda _: (
        sa.update(files)
        .where(files.c.id == sa.bindparam("row"))
        .values(
            result_id=sa.select(sa.func.max(results.c.id))
            .where(results.c.file_id == sa.bindparam("row"))
            .scalar_subquery()
        )
    )
)
FIRST_WITH = Prepared(
    lambda dialect: (
        sa.select(sa.func.min(files.c.id))
        .where(_root, _among(files.c.sha256, "hashes", dialect))
        .where(sa.or_(_not_missing, files.c.filed_at.is_not(None)))
        .group_by(files.c.sha256)
    )
)
KNOWN_HASHES = Prepared(
    lambda dialect: (
        sa.select(files.c.sha256).where(_root, _among(files.c.sha256, "hashes", dialect)).distinct()
    )
)
NEWEST_WITH = Prepared(
    lambda _: (
        sa.select(files.c.id)
        .where(_root, files.c.sha256 == sa.bindparam("sha256"))
        .order_by(files.c.id.desc())
        .limit(sa.bindparam("most"))
    )
)
AT = Prepared(
    lambda dialect: sa.select(files.c.id).where(
        _root, _among(files.c.path, "paths", dialect), _not_missing
    )
)
ROWS = sa.select(files).where(files.c.id.in_(sa.bindparam("ids", expanding=True)))
UNDER_WAY = Prepared(
    lambda dialect: sa.select(files.c.source_path, files.c.size_bytes, files.c.modified_ns).where(
        _root, _recorded, _among(files.c.source_path, "paths", dialect)
    )
)
# The move of a row that `FILED` marks, by the command that has asked for it.
MOVED = Prepared(
    lambda _: (
        sa.insert(moves)
        .from_select(
            ["file_id", "from_path", "to_path", "why", "command_id", "moved_at"],
            sa.select(
                files.c.id,
                files.c.source_path,
                files.c.path,
                sa.func.coalesce(commands.c.name, sa.literal_column("'run'")),
                files.c.command_id,
                _at,
            )
            .select_from(files.outerjoin(commands, commands.c.id == files.c.command_id))
            .where(_as_read),
        )
        .inline()
    )
)
LABELS = Prepared(
    lambda dialect: sa.select(corrections.c.file_id, corrections.c.label).where(
        corrections.c.id.in_(
            sa.select(sa.func.max(corrections.c.id))
            .where(_among(corrections.c.file_id, "ids", dialect))
            .group_by(corrections.c.file_id)
        )
    )
)
FILED = Prepared(
    lambda _: (
        sa.update(files)
        .where(_as_read)
        .values(
            state="filed",
            source_path=None,
            filed_at=sa.func.coalesce(files.c.filed_at, _at),
            moved_at=_at,
            restored_to=sa.null(),
        )
    )
)
# Out of the answer folders, as if a person had taken it; `restored_to` says that it was not lost.
RESTORED = Prepared(
    lambda _: (
        sa.update(files).where(_as_read).values(state="missing", source_path=None, moved_at=_at)
    )
)
NOT_RESTORED = Prepared(
    lambda _: (
        sa.update(files)
        .where(_as_read)
        .values(
            state=sa.bindparam("then"),
            path=files.c.source_path,
            source_path=None,
            restored_to=sa.null(),
        )
    )
)
REQUEST_MOVE = Prepared(
    lambda _: (
        sa.update(files)
        .where(files.c.id == sa.bindparam("row"))
        .values(
            state="recorded",
            source_path=sa.bindparam("source"),
            path=sa.bindparam("target"),
            outcome=sa.bindparam("to"),
            reason=sa.bindparam("why"),
            command_id=sa.bindparam("by"),
        )
    )
)
GONE = Prepared(
    lambda _: sa.update(files).where(_as_read).values(state="missing", source_path=None)
)
# With the bytes of the file that each is the original of.
_originals = (
    sa.select(originals, files.c.sha256)
    .join(files, files.c.id == originals.c.file_id)
    .where(originals.c.root_id == sa.bindparam("root_id"))
)
ORIGINALS = Prepared(
    lambda dialect: sa.select(
        originals.c.inode, originals.c.size_bytes, originals.c.modified_ns, originals.c.changed_ns
    ).where(
        originals.c.root_id == sa.bindparam("root_id"),
        _among(originals.c.inode, "inodes", dialect),
    )
)
ORIGINALS_LIKE = Prepared(
    lambda dialect: _originals.where(
        sa.or_(
            _among(originals.c.inode, "inodes", dialect),
            _among(originals.c.path, "paths", dialect),
        )
    )
)
FORGET_ORIGINALS_AT = Prepared(
    lambda _: sa.delete(originals).where(
        originals.c.root_id == sa.bindparam("root_id"), originals.c.path == sa.bindparam("at")
    )
)
INSERT_ORIGINALS = Prepared(
    lambda _: sa.insert(originals).inline(),
    [column for column in originals.c if column.name != "id"],
)
