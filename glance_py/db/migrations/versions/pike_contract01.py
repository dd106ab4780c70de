"""Artifacts are not part of this service any more."""

from alembic import op

revision = "pike_contract01"
down_revision = "ocata_contract01"
depends_on = "pike_expand01"

#: Those that refer to others first.
_TABLES = (
    "artifact_blob_locations",
    "artifact_properties",
    "artifact_blobs",
    "artifact_tags",
    "artifact_dependencies",
    "artifacts",
)


def upgrade() -> None:
    """Removes their tables."""
    for table in _TABLES:
        op.drop_table(table, if_exists=True)
