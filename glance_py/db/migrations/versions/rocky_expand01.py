"""Adds the flag that hides images from lists."""

import sqlalchemy as sa

from glance_py.db.migrations.schema_operations import add_columns

revision = "rocky_expand01"
down_revision = "queens_expand01"


def upgrade() -> None:
    """Adds the column; no image is hidden."""
    add_columns(
        "images",
        sa.Column("os_hidden", sa.Boolean(), nullable=False, server_default=sa.false()),
        index={"os_hidden_image_idx": "os_hidden"},
    )
