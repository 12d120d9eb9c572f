"""Keep every decision, move and command; rules as columns; when and by what a photo was taken."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

REAL = sa.REAL().with_variant(sa.DOUBLE_PRECISION(), "postgresql")
LARGE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
OUTCOMES = "outcome IN ('female', 'male', 'unsure', 'rejected')"
RULES = {
    "crop": sa.Text(),
    "several_faces": sa.Text(),
    "min_confidence": REAL,
    "min_face": REAL,
    "min_sharpness": REAL,
    "bodies": REAL,
}
NUMBERS = {name for name, kind in RULES.items() if kind is REAL}

CURRENT_RESULTS = """
CREATE VIEW current_results AS
SELECT f.id, f.name, f.path, f.outcome, f.reason,
       r.label, r.confidence, r.p_male, r.faces,
       m.name || ' ' || m.version AS model,
       (SELECT c.label FROM corrections c WHERE c.file_id = f.id
         ORDER BY c.id DESC LIMIT 1) AS corrected,
       f.recorded_at, f.filed_at, f.sha256,
       CASE WHEN f.state = 'missing' AND f.restored_to IS NOT NULL
            THEN 'restored' ELSE f.state END AS state,
       f.original_path, f.filed_at AS first_filed_at, f.moved_at,
       r.label AS model_label, r.min_confidence, f.taken_at, f.camera,
       o.path AS root, o.host AS root_host, r.bodies, f.mode, f.restored_to
  FROM files f
  JOIN models m ON m.id = f.model_id
  JOIN roots o ON o.id = f.root_id
  LEFT JOIN results r ON r.id = f.result_id
"""


def upgrade() -> None:
    op.execute("DROP VIEW current_results")
    op.add_column("roots", sa.Column("host", sa.Text()))
    op.add_column("roots", sa.Column("path", sa.Text()))
    op.create_table(
        "commands",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"]),
        sa.ForeignKeyConstraint(["undoes"], ["commands.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("undoes"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _results_anew()
        _corrections_anew()
    else:
        _results_altered()
        _corrections_altered()
    op.create_index("results_file", "results", ["file_id", "id"])
    op.create_index("results_review", "results", ["outcome", "reason", "confidence", "id"])
    op.create_index("corrections_file", "corrections", ["file_id", "id"])
    _make_moves()
    _make_changes()
    _make_originals()
    _extend_files()
    op.execute(CURRENT_RESULTS)


def _rules_of(text: str) -> dict[str, str | float | None]:
    """Return the columns of a text like `crop=face several_faces=agree min_confidence=0.9`."""
    said = dict(part.split("=", 1) for part in text.split() if "=" in part)
    return {
        name: float(said[name]) if name in said and name in NUMBERS else said.get(name)
        for name in RULES
    }


def _results_anew() -> None:
    """SQLite cannot drop a constraint: the table is made again, and its rows copied."""
    connection = op.get_bind()
    known = sa.table("known_rules", sa.column("rules"), *(sa.column(name) for name in RULES))
    op.execute(
        "CREATE TEMPORARY TABLE known_rules (rules TEXT PRIMARY KEY, crop TEXT, "
        "several_faces TEXT, min_confidence REAL, min_face REAL, min_sharpness REAL, bodies REAL)"
    )
    for (text,) in connection.execute(sa.text("SELECT DISTINCT rules FROM results")).fetchall():
        connection.execute(known.insert().values(rules=text, **_rules_of(text)))
    op.create_table(
        "new_results",
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
        *(sa.Column(name, kind, nullable=True) for name, kind in RULES.items()),
        sa.Column("command_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "(label IS NULL) = (outcome = 'rejected' OR coalesce(reason, '') = 'changed_late')"
        ),
        sa.CheckConstraint("(outcome IN ('unsure', 'rejected')) = (reason IS NOT NULL)"),
        sa.CheckConstraint("label IN ('female', 'male')"),
        sa.CheckConstraint(OUTCOMES),
        sa.CheckConstraint("outcome IN ('unsure', 'rejected') OR outcome = label"),
        sa.CheckConstraint(
            "(label IS NULL) = (p_male IS NULL) AND (label IS NULL) = (confidence IS NULL)"
        ),
        sa.CheckConstraint("confidence BETWEEN 0.5 AND 1"),
        sa.CheckConstraint("p_male BETWEEN 0 AND 1"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"]),
        sa.ForeignKeyConstraint(["command_id"], ["commands.id"]),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute(
        "INSERT INTO new_results SELECT r.*, k.crop, k.several_faces, k.min_confidence, "
        "k.min_face, k.min_sharpness, k.bodies, NULL "
        "FROM results r JOIN known_rules k ON k.rules = r.rules"
    )
    op.execute("DROP TABLE known_rules")
    op.execute("DROP TABLE results")
    op.execute("ALTER TABLE new_results RENAME TO results")


def _results_altered() -> None:
    connection = op.get_bind()
    op.drop_constraint("results_file_id_model_id_key", "results")
    for name, kind in RULES.items():
        op.add_column("results", sa.Column(name, kind))
    op.add_column("results", sa.Column("command_id", sa.Integer()))
    op.create_foreign_key(None, "results", "commands", ["command_id"], ["id"])
    changed = sa.table("results", sa.column("rules"), *(sa.column(name) for name in RULES))
    for (text,) in connection.execute(sa.text("SELECT DISTINCT rules FROM results")).fetchall():
        connection.execute(
            changed.update().where(changed.c.rules == text).values(**_rules_of(text))
        )


VERDICTS = "label IN ('female', 'male', 'neither', 'reject')"
HOW = "how IN ('command', 'hand')"


def _corrections_anew() -> None:
    op.create_table(
        "new_corrections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(VERDICTS),
        sa.CheckConstraint(HOW),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"]),
        sa.ForeignKeyConstraint(["command_id"], ["commands.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute(
        "INSERT INTO new_corrections "
        "SELECT id, file_id, label, \"by\", at, 'command', NULL FROM corrections"
    )
    op.execute("DROP TABLE corrections")
    op.execute("ALTER TABLE new_corrections RENAME TO corrections")


def _corrections_altered() -> None:
    op.drop_index("corrections_file", "corrections")
    op.drop_constraint("corrections_label_check", "corrections")
    op.create_check_constraint(None, "corrections", VERDICTS)
    op.add_column(
        "corrections", sa.Column("how", sa.Text(), nullable=False, server_default="command")
    )
    op.alter_column("corrections", "how", server_default=None)
    op.create_check_constraint(None, "corrections", HOW)
    op.add_column("corrections", sa.Column("command_id", sa.Integer()))
    op.create_foreign_key(None, "corrections", "commands", ["command_id"], ["id"])


def _make_moves() -> None:
    op.create_table(
        "moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("from_path", sa.Text(), nullable=False),
        sa.Column("to_path", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Integer(), nullable=True),
        sa.Column("moved_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["command_id"], ["commands.id"]),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    # Of earlier moves only the last is known: when it ended, and where the file was dropped.
    op.execute(
        "INSERT INTO moves (file_id, from_path, to_path, why, moved_at) "
        "SELECT id, original_path, coalesce(source_path, path), 'earlier', filed_at FROM files "
        "WHERE filed_at IS NOT NULL AND coalesce(source_path, path) <> original_path ORDER BY id"
    )
    op.create_index("moves_file", "moves", ["file_id", "id"])


def _make_changes() -> None:
    op.create_table(
        "changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("command_id", sa.Integer(), nullable=False),
        sa.Column("result_id", sa.Integer(), nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.CheckConstraint(OUTCOMES),
        sa.CheckConstraint(HOW),
        sa.ForeignKeyConstraint(["command_id"], ["commands.id"]),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("changes_file", "changes", ["file_id", "id"])
    op.create_index("changes_command", "changes", ["command_id"])


def _make_originals() -> None:
    op.create_table(
        "originals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("inode", LARGE, nullable=False),
        sa.Column("size_bytes", LARGE, nullable=False),
        sa.Column("modified_ns", LARGE, nullable=False),
        sa.Column("changed_ns", LARGE, nullable=True),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"]),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "originals_identity",
        "originals",
        ["root_id", "inode", "size_bytes", "modified_ns", "changed_ns"],
    )
    op.create_index("originals_path", "originals", ["root_id", "path"])
    op.create_index("originals_file", "originals", ["file_id"])


def _extend_files() -> None:
    # Not by op.add_column: in SQLite that leaves the reference out.
    kind = "DATETIME" if op.get_bind().dialect.name == "sqlite" else "TIMESTAMP"
    for column in (
        f"moved_at {kind}",
        "result_id INTEGER REFERENCES results (id)",
        "command_id INTEGER REFERENCES commands (id)",
        "taken_at TEXT",
        "camera TEXT",
        "mode TEXT NOT NULL DEFAULT 'move' CHECK (mode IN ('move', 'copy', 'link'))",
        "restored_to TEXT",
    ):
        op.execute(f"ALTER TABLE files ADD COLUMN {column}")
    op.execute(
        "UPDATE files SET moved_at = filed_at, result_id = (SELECT max(r.id) FROM results r "
        "WHERE r.file_id = files.id AND r.model_id = files.model_id)"
    )
    op.create_index("files_result", "files", ["result_id"])
    is_filed = sa.text("state = 'filed'")
    op.create_index(
        "files_review",
        "files",
        ["root_id", "outcome", "reason", "id"],
        sqlite_where=is_filed,
        postgresql_where=is_filed,
    )
