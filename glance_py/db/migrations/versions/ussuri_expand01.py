"""Adds nothing."""

revision = "ussuri_expand01"
down_revision = "train_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
