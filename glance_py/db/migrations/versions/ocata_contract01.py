"""Removes the flag that visibility replaces."""

from alembic import op

from glance_py.db.migrations import data_migrations
from glance_py.db.migrations.schema_operations import batch_alter, drop_column, drop_triggers

revision = "ocata_contract01"
down_revision = "mitaka02"
branch_labels = "contract"
depends_on = "ocata_expand01"


def upgrade() -> None:
    """Sets visibility where it is not set yet, then drops ``is_public``."""
    connection = op.get_bind()
    drop_triggers("insert_visibility", "update_visibility")
    data_migrations.VISIBILITY.migrate(connection)
    drop_column("images", "is_public", index="ix_images_is_public")
    with batch_alter("images") as images:
        images.alter_column(
            "visibility",
            existing_type=data_migrations.VISIBILITY_TYPE,
            nullable=False,
            server_default="shared",
        )
