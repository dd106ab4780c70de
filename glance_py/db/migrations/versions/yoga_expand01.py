"""Nothing is added."""

revision = "yoga_expand01"
down_revision = "xena_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
