"""Run by alembic for each command; ``migrations/__init__.py`` sets the connection."""

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
