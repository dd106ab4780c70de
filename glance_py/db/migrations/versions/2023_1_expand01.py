"""Adds nothing."""

revision = "2023_1_expand01"
down_revision = "zed_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
