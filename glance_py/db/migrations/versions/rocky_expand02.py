"""Adds a hash of any algorithm besides the MD5 checksum."""

import sqlalchemy as sa

from glance_py.db.migrations.schema_operations import add_columns

revision = "rocky_expand02"
down_revision = "rocky_expand01"


def upgrade() -> None:
    """Adds the columns; existing images have no hash."""
    add_columns(
        "images",
        sa.Column("os_hash_algo", sa.String(64)),
        sa.Column("os_hash_value", sa.String(128)),
        index={"os_hash_value_image_idx": "os_hash_value"},
    )
