"""Adds nothing."""

revision = "zed_expand01"
down_revision = "yoga_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
