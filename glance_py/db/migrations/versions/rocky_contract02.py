"""Removes nothing."""

revision = "rocky_contract02"
down_revision = "rocky_contract01"
depends_on = "rocky_expand02"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
