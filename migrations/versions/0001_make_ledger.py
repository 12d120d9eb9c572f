"""The first ledger: roots, models, batches, files, results, corrections; view current_results."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
REAL = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")
LARGE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")

CURRENT_RESULTS = """
CREATE VIEW current_results AS
SELECT f.id, f.name, f.path, f.outcome, f.reason,
       r.label, r.confidence, r.p_male, r.faces,
       m.name || ' ' || m.version AS model,
       (SELECT c.label FROM corrections c WHERE c.file_id = f.id
         ORDER BY c.id DESC LIMIT 1) AS corrected,
       f.recorded_at, f.filed_at, f.sha256, f.state
  FROM files f
  JOIN models m ON m.id = f.model_id
  LEFT JOIN results r ON r.file_id = f.id AND r.model_id = f.model_id
"""


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.DateTime(), nullable=False),
        sa.Column("details", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_table(
        "roots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("decode_ms", REAL, nullable=False),
        sa.Column("infer_ms", REAL, nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "files",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("size_bytes", LARGE, nullable=False),
        sa.Column("modified_ns", LARGE, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("original_path", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("source_path", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("duplicate_of", sa.Integer(), nullable=True),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.Column("filed_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("(state = 'recorded') = (source_path IS NOT NULL)"),
        sa.CheckConstraint("outcome IN ('female', 'male', 'unsure', 'rejected')"),
        sa.CheckConstraint("reason IS NULL OR outcome IN ('unsure', 'rejected')"),
        sa.CheckConstraint("sha256 IS NOT NULL OR coalesce(reason, '') = 'too_many_bytes'"),
        sa.CheckConstraint("state <> 'filed' OR filed_at IS NOT NULL"),
        sa.CheckConstraint("state IN ('recorded', 'filed', 'missing')"),
        sa.CheckConstraint("duplicate_of <> id"),
        sa.ForeignKeyConstraint(["duplicate_of"], ["files.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"]),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"]),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "files_duplicate_of",
        "files",
        ["duplicate_of"],
        sqlite_where=sa.text("duplicate_of IS NOT NULL"),
        postgresql_where=sa.text("duplicate_of IS NOT NULL"),
    )
    op.create_index("files_name", "files", ["name"])
    op.create_index("files_outcome", "files", ["outcome", "reason"])
    op.create_index(
        "files_path",
        "files",
        ["root_id", "path"],
        unique=True,
        sqlite_where=sa.text("state <> 'missing'"),
        postgresql_where=sa.text("state <> 'missing'"),
    )
    op.create_index(
        "files_recorded",
        "files",
        ["root_id", "id"],
        sqlite_where=sa.text("state = 'recorded'"),
        postgresql_where=sa.text("state = 'recorded'"),
    )
    op.create_index("files_recorded_at", "files", ["recorded_at"])
    op.create_index("files_sha256", "files", ["sha256"])
    op.create_table(
        "corrections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("label IN ('female', 'male')"),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("corrections_file", "corrections", ["file_id", "id"])
    op.create_table(
        "results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("p_male", REAL, nullable=True),
        sa.Column("confidence", REAL, nullable=True),
        sa.Column("faces", sa.Integer(), nullable=True),
        sa.Column("box_x", REAL, nullable=True),
        sa.Column("box_y", REAL, nullable=True),
        sa.Column("box_w", REAL, nullable=True),
        sa.Column("box_h", REAL, nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("format", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "(label IS NULL) = (outcome = 'rejected' OR coalesce(reason, '') = 'changed_late')"
        ),
        sa.CheckConstraint("(outcome IN ('unsure', 'rejected')) = (reason IS NOT NULL)"),
        sa.CheckConstraint("label IN ('female', 'male')"),
        sa.CheckConstraint("outcome IN ('female', 'male', 'unsure', 'rejected')"),
        sa.CheckConstraint("outcome IN ('unsure', 'rejected') OR outcome = label"),
        sa.CheckConstraint(
            "(label IS NULL) = (p_male IS NULL) AND (label IS NULL) = (confidence IS NULL)"
        ),
        sa.CheckConstraint("confidence BETWEEN 0.5 AND 1"),
        sa.CheckConstraint("p_male BETWEEN 0 AND 1"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"]),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("file_id", "model_id"),
    )
    op.execute(CURRENT_RESULTS)
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA application_id = 0x67647731")  # "gdw1": this database is ours
