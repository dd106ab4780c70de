"""Adds nothing."""

revision = "train_expand01"
down_revision = "rocky_expand02"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
