"""${message}.

Write plain SQL or operations here, never the tables of gdwatch.ledger.tables: history does not follow
them. Each migration gets a test that upgrades a ledger with rows in it.
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
