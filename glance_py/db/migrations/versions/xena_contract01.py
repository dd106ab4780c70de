"""Removes nothing."""

revision = "xena_contract01"
down_revision = "wallaby_contract01"
depends_on = "xena_expand01"


def upgrade() -> None:
    """Does nothing: the tables are those of the release before."""
