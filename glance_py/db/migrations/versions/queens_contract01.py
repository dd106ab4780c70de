"""Nothing has to go."""

revision = "queens_contract01"
down_revision = "pike_contract01"
depends_on = "queens_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
