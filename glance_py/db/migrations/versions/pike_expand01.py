"""Nothing is added."""

revision = "pike_expand01"
down_revision = "ocata_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
