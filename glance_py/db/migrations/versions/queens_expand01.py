"""Adds nothing."""

revision = "queens_expand01"
down_revision = "pike_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
