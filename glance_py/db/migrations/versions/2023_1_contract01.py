"""Removes nothing."""

revision = "2023_1_contract01"
down_revision = "zed_contract01"
depends_on = "2023_1_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
