"""The tables of the ledger as SQLAlchemy knows them; `migrations/` makes and changes them.

The view `current_results` stands in the migrations alone. Times are UTC without a zone.
Paths are text as `escaping.relative_text` writes it.
"""

from sqlalchemy import (
    JSON,
    REAL,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB
from sqlalchemy.types import BigInteger, TypeEngine

metadata = MetaData()

_Json = JSON().with_variant(JSONB(), "postgresql")
_Real: TypeEngine[float] = REAL().with_variant(DOUBLE_PRECISION(), "postgresql")
_Large = Integer().with_variant(BigInteger(), "postgresql")

roots = Table(
    "roots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", Text, nullable=False, unique=True),  # = ROOT/.gdwatch/root-id
    Column("first_used_at", DateTime, nullable=False),
    Column("host", Text),  # the machine, when the root was last opened
    Column("path", Text),  # the root's absolute path there
)

commands = Table(
    "commands",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("root_id", Integer, ForeignKey("roots.id"), nullable=False),
    Column("name", Text, nullable=False),  # run, correct, requeue, …
    Column("arguments", Text, nullable=False),  # as they were given
    Column("by", Text, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("undoes", Integer, ForeignKey("commands.id"), unique=True),  # of an `undo`
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),  # of the file's bytes
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("first_used_at", DateTime, nullable=False),
    Column("details", _Json, nullable=False),  # metadata of the model file
)

batches = Table(
    "batches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("device", Text, nullable=False),
    Column("files", Integer, nullable=False),
    Column("decode_ms", _Real, nullable=False),  # sum over its files
    Column("infer_ms", _Real, nullable=False),  # wall time in the engine
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime, nullable=False),
)

_OUTCOMES = "outcome IN ('female', 'male', 'unsure', 'rejected')"

files = Table(
    "files",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("root_id", Integer, ForeignKey("roots.id"), nullable=False),
    Column("sha256", Text),  # null: more than max_bytes, never read
    Column("size_bytes", _Large, nullable=False),
    Column("modified_ns", _Large, nullable=False),
    Column("name", Text, nullable=False),  # last part of original_path
    Column("original_path", Text, nullable=False),  # where it was dropped
    Column("path", Text, nullable=False),  # where the file lies, or is to be moved
    Column("source_path", Text),  # while recorded: where the file still lies
    Column("state", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # the folder that path names
    Column("reason", Text),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),  # of its current result
    Column("duplicate_of", Integer, ForeignKey("files.id", ondelete="SET NULL")),
    Column("received_at", DateTime, nullable=False),  # first seen
    Column("recorded_at", DateTime, nullable=False),  # first decision
    Column("filed_at", DateTime),  # first completed move
    Column("moved_at", DateTime),  # last completed move
    # The current result; the table `results` refers to this one, so it is made later.
    Column("result_id", Integer, ForeignKey("results.id", use_alter=True)),
    Column("command_id", Integer, ForeignKey("commands.id")),  # asked for the last move
    Column("taken_at", Text),  # by the camera's clock, with its offset from UTC if known
    Column("camera", Text),
    Column("mode", Text, nullable=False, server_default="move"),  # how it came from the inbox
    Column("restored_to", Text),  # the folder where `restore` has put it, or is to put it
    CheckConstraint("state IN ('recorded', 'filed', 'missing')"),
    CheckConstraint(_OUTCOMES),
    CheckConstraint("(state = 'recorded') = (source_path IS NOT NULL)"),
    CheckConstraint("state <> 'filed' OR filed_at IS NOT NULL"),
    CheckConstraint("reason IS NULL OR outcome IN ('unsure', 'rejected')"),
    CheckConstraint("sha256 IS NOT NULL OR coalesce(reason, '') = 'too_many_bytes'"),
    CheckConstraint("duplicate_of <> id"),
    CheckConstraint("mode IN ('move', 'copy', 'link')"),
    sqlite_autoincrement=True,  # ids stand in file names: never reused
)


def _partial(name: str, columns: tuple[str, ...], where: str, *, unique: bool = False) -> Index:
    return Index(
        name,
        *(files.c[column] for column in columns),
        unique=unique,
        sqlite_where=text(where),
        postgresql_where=text(where),
    )


_partial("files_path", ("root_id", "path"), "state <> 'missing'", unique=True)
_partial("files_recorded", ("root_id", "id"), "state = 'recorded'")
_partial("files_review", ("root_id", "outcome", "reason", "id"), "state = 'filed'")
_partial("files_duplicate_of", ("duplicate_of",), "duplicate_of IS NOT NULL")
Index("files_sha256", files.c.sha256)
Index("files_name", files.c.name)
Index("files_recorded_at", files.c.recorded_at)
Index("files_outcome", files.c.outcome, files.c.reason)
Index("files_result", files.c.result_id)

originals = Table(
    "originals",  # files in the inbox that stay there and are not taken again until they change
    metadata,
    Column("id", Integer, primary_key=True),
    Column("root_id", Integer, ForeignKey("roots.id"), nullable=False),
    Column("file_id", Integer, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),  # where it was last seen
    Column("inode", _Large, nullable=False),  # from 2**63 on as a negative number
    Column("size_bytes", _Large, nullable=False),
    Column("modified_ns", _Large, nullable=False),
    Column("changed_ns", _Large),  # null: not compared, as of a file with several names
)
# All that is compared stands in the index: a listing asks for thousands of files at once.
Index(
    "originals_identity",
    *(
        originals.c[name]
        for name in ("root_id", "inode", "size_bytes", "modified_ns", "changed_ns")
    ),
)
Index("originals_path", originals.c.root_id, originals.c.path)
Index("originals_file", originals.c.file_id)

results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("file_id", Integer, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("rules", Text, nullable=False),  # crop, several_faces, min_confidence used
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("label", Text),
    Column("p_male", _Real),
    Column("confidence", _Real),
    Column("faces", Integer),  # null: crop = whole
    Column("box_x", _Real),  # pixels, upright
    Column("box_y", _Real),
    Column("box_w", _Real),
    Column("box_h", _Real),
    Column("width", Integer),  # upright; null: no header read
    Column("height", Integer),
    Column("format", Text),
    Column("batch_id", Integer, ForeignKey("batches.id")),  # null: no model saw it
    Column("decided_at", DateTime, nullable=False),
    # The rules as columns; null: they have no say, or are not known.
    Column("crop", Text),
    Column("several_faces", Text),
    Column("min_confidence", _Real),
    Column("min_face", _Real),
    Column("min_sharpness", _Real),
    Column("bodies", _Real),  # as min_confidence, for a person without a visible face
    Column("command_id", Integer, ForeignKey("commands.id")),  # null: from before version 0002
    CheckConstraint(_OUTCOMES),
    CheckConstraint("label IN ('female', 'male')"),
    CheckConstraint("p_male BETWEEN 0 AND 1"),
    CheckConstraint("confidence BETWEEN 0.5 AND 1"),
    CheckConstraint("(outcome IN ('unsure', 'rejected')) = (reason IS NOT NULL)"),
    CheckConstraint(
        "(label IS NULL) = (p_male IS NULL) AND (label IS NULL) = (confidence IS NULL)"
    ),
    CheckConstraint(
        "(label IS NULL) = (outcome = 'rejected' OR coalesce(reason, '') = 'changed_late')"
    ),
    CheckConstraint("outcome IN ('unsure', 'rejected') OR outcome = label"),
)
Index("results_file", results.c.file_id, results.c.id)
Index("results_review", results.c.outcome, results.c.reason, results.c.confidence, results.c.id)

corrections = Table(
    "corrections",
    metadata,
    Column("id", Integer, primary_key=True),  # append-only; a file's last correction counts
    Column("file_id", Integer, ForeignKey("files.id"), nullable=False),
    Column("label", Text),  # the person's verdict; null: taken back
    Column("by", Text, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("how", Text, nullable=False),  # by a command, or by moving the file by hand
    Column("command_id", Integer, ForeignKey("commands.id")),
    CheckConstraint("label IN ('female', 'male', 'neither', 'reject')"),
    CheckConstraint("how IN ('command', 'hand')"),
)
Index("corrections_file", corrections.c.file_id, corrections.c.id)

moves = Table(
    "moves",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("file_id", Integer, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("from_path", Text, nullable=False),
    Column("to_path", Text, nullable=False),
    Column("why", Text, nullable=False),  # the command, `hand`, or `earlier`: before version 0002
    Column("command_id", Integer, ForeignKey("commands.id")),
    Column("moved_at", DateTime, nullable=False),
)
Index("moves_file", moves.c.file_id, moves.c.id)

changes = Table(
    "changes",  # what a command or a hand changed in a row: as it was before
    metadata,
    Column("id", Integer, primary_key=True),
    Column("file_id", Integer, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("command_id", Integer, ForeignKey("commands.id"), nullable=False),
    Column("result_id", Integer, ForeignKey("results.id", ondelete="CASCADE")),
    Column("path", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("label", Text),  # the person's verdict that stood
    Column("at", DateTime, nullable=False),
    Column("how", Text, nullable=False),  # `hand`: the command only noticed what a person did
    CheckConstraint(_OUTCOMES),
    CheckConstraint("how IN ('command', 'hand')"),
)
Index("changes_file", changes.c.file_id, changes.c.id)
Index("changes_command", changes.c.command_id)
