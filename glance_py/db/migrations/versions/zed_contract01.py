"""Removes nothing."""

revision = "zed_contract01"
down_revision = "yoga_contract01"
depends_on = "zed_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
