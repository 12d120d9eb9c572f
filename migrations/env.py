"""Run by Alembic inside `gdwatch db upgrade`, on the connection that it is handed."""

from alembic import context

from gdwatch.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a table in place
    transaction_per_migration=False,  # all or nothing, in the caller's transaction
)
context.run_migrations()
