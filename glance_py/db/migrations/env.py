"""What alembic runs for each command; the connection comes from ``migrations/__init__.py``."""

from alembic import context

from glance_py.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Changing a column of SQLite means to copy the table.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
