"""Hashes of any algorithm beside the MD5 checksum."""

import sqlalchemy as sa

from glance_py.db.migrations.schema_operations import add_columns

revision = "rocky_expand02"
down_revision = "rocky_expand01"


def upgrade() -> None:
    """Adds algorithm and value; images that exist have none."""
    add_columns(
        "images",
        sa.Column("os_hash_algo", sa.String(64)),
        sa.Column("os_hash_value", sa.String(128)),
        index={"os_hash_value_image_idx": "os_hash_value"},
    )
