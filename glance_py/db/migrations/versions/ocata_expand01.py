"""Adds visibility, with four values instead of public or not."""

import sqlalchemy as sa
from alembic import op

from glance_py.db.migrations.schema_operations import add_columns, batch_alter, has_column

revision = "ocata_expand01"
down_revision = "mitaka02"
branch_labels = "expand"


def upgrade() -> None:
    """Adds the column; new rows need not set ``is_public`` any more."""
    visibility = sa.Enum("private", "public", "shared", "community", name="image_visibility")
    visibility.create(op.get_bind(), checkfirst=True)
    add_columns(
        "images", sa.Column("visibility", visibility), index={"visibility_image_idx": "visibility"}
    )
    if has_column("images", "is_public"):
        with batch_alter("images") as images:
            images.alter_column("is_public", existing_type=sa.Boolean(), nullable=True)
