"""Indexes for lists of images in the order of their times."""

from glance_py.db.migrations.schema_operations import add_columns

revision = "mitaka01"
down_revision = "liberty"


def upgrade() -> None:
    """Creates the indexes."""
    add_columns(
        "images", index={"created_at_image_idx": "created_at", "updated_at_image_idx": "updated_at"}
    )
