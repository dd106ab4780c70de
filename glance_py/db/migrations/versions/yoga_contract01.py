"""Removes nothing."""

revision = "yoga_contract01"
down_revision = "xena_contract01"
depends_on = "yoga_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
