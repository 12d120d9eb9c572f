"""The statements that every batch needs, made once.

To build one anew, and to find what it was compiled to, takes longer than the database needs for it.
"""

import functools

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from gdwatch.tables import files, models, results

_root = files.c.root_id == sa.bindparam("root_id")
_as_read = sa.tuple_(files.c.id, files.c.path).in_(sa.bindparam("as_read", expanding=True))

PENDING = (
    sa.select(
        files.c.id,
        files.c.source_path,
        files.c.path,
        files.c.sha256,
        files.c.size_bytes,
        files.c.modified_ns,
    )
    .where(_root, files.c.state == "recorded", files.c.id > sa.bindparam("after"))
    .order_by(files.c.id)
    .limit(sa.bindparam("most"))
)
MODEL_ID = sa.select(models.c.id).where(models.c.sha256 == sa.bindparam("model"))
INSERT_FILES = sa.insert(files).returning(files.c.id, sort_by_parameter_order=True)
FIRST_WITH = sa.select(files).where(
    files.c.id.in_(
        sa.select(sa.func.min(files.c.id))
        .where(files.c.sha256.in_(sa.bindparam("hashes", expanding=True)))
        .group_by(files.c.sha256)
        .having(sa.func.count() >= sa.bindparam("least"))
    )
)
AT = sa.select(files).where(
    _root,
    files.c.path.in_(sa.bindparam("paths", expanding=True)),
    files.c.state != "missing",
)
UNDER_WAY = sa.select(files.c.source_path, files.c.size_bytes, files.c.modified_ns).where(
    _root,
    files.c.state == "recorded",
    files.c.source_path.in_(sa.bindparam("paths", expanding=True)),
)
SEND = sa.update(files).where(files.c.id == sa.bindparam("row"))
FILED = (
    sa.update(files)
    .where(_as_read, files.c.state == "recorded")
    .values(state="filed", source_path=None, filed_at=sa.bindparam("at"))
)
GONE = (
    sa.update(files)
    .where(_as_read, files.c.state == "recorded")
    .values(state="missing", source_path=None)
)


@functools.cache
def insert_results(dialect: str) -> sa.Insert:
    """One of the same file and model is replaced, which each database has its own words for."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(results)
    replaced = {
        column.name: column
        for column in statement.excluded
        if column.name not in ("id", "file_id", "model_id")
    }
    return statement.on_conflict_do_update(index_elements=["file_id", "model_id"], set_=replaced)
