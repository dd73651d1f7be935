"""What Alembic runs around the steps: on the connection, and in the transaction, that `store.migrate` hands over."""

from alembic import context

from gateway.store.tables import VERSION_TABLE, metadata

# SQLite changes most columns only by copying the table: steps that Alembic writes do so ("batch").
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
