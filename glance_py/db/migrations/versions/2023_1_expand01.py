"""Nothing is added."""

revision = "2023_1_expand01"
down_revision = "zed_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
