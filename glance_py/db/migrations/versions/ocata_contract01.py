"""Whether an image is public is a visibility now."""

from alembic import op

from glance_py.db.migrations import data
from glance_py.db.migrations.steps import altering, drop_column, drop_triggers

revision = "ocata_contract01"
down_revision = "mitaka02"
branch_labels = "contract"
depends_on = "ocata_expand01"


def upgrade() -> None:
    """Moves what is not moved yet, then removes the old column."""
    connection = op.get_bind()
    drop_triggers("insert_visibility", "update_visibility")
    data.VISIBILITY.migrate(connection)
    drop_column("images", "is_public", index="ix_images_is_public")
    with altering("images") as images:
        images.alter_column(
            "visibility",
            existing_type=data.VISIBILITY_TYPE,
            nullable=False,
            server_default="shared",
        )
