"""Removes nothing."""

revision = "queens_contract01"
down_revision = "pike_contract01"
depends_on = "queens_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
