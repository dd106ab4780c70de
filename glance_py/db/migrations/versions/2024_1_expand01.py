"""Adds the tables of the image cache."""

from alembic import op

from glance_py.db.migrations.schema_2024_1 import metadata

revision = "2024_1_expand01"
down_revision = "2023_1_expand01"


def upgrade() -> None:
    """Creates the tables of nodes and of their cached images."""
    tables = [metadata.tables[name] for name in ("node_reference", "cached_images")]
    metadata.create_all(op.get_bind(), tables=tables)
