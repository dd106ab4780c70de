"""Nothing is added."""

revision = "zed_expand01"
down_revision = "yoga_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
