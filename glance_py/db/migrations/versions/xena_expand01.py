"""Adds nothing."""

revision = "xena_expand01"
down_revision = "wallaby_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
