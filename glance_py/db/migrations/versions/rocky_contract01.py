"""Removes nothing."""

revision = "rocky_contract01"
down_revision = "queens_contract01"
depends_on = "rocky_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
