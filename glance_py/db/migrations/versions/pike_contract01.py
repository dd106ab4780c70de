"""Removes artifacts, which are no longer part of this service."""

from alembic import op

revision = "pike_contract01"
down_revision = "ocata_contract01"
depends_on = "pike_expand01"

#: Tables that refer to others come first.
_TABLES = (
    "artifact_blob_locations",
    "artifact_properties",
    "artifact_blobs",
    "artifact_tags",
    "artifact_dependencies",
    "artifacts",
)


def upgrade() -> None:
    """Drops their tables."""
    for table in _TABLES:
        op.drop_table(table, if_exists=True)
