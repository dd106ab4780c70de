"""Removes nothing."""

revision = "ussuri_contract01"
down_revision = "train_contract01"
depends_on = "ussuri_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
