"""Nothing is added."""

revision = "train_expand01"
down_revision = "rocky_expand02"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
