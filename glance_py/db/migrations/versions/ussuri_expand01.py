"""Nothing is added."""

revision = "ussuri_expand01"
down_revision = "train_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
