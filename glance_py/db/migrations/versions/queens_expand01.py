"""Nothing is added."""

revision = "queens_expand01"
down_revision = "pike_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
