"""The oldest schema from which there is a way: what release Liberty had."""

revision = "liberty"
down_revision = None


def upgrade() -> None:
    """Only databases that exist are of that time; an empty one gets the newest schema."""
    raise NotImplementedError("The schema of Liberty is not made any more.")
