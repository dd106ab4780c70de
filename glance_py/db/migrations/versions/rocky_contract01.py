"""Nothing has to go."""

revision = "rocky_contract01"
down_revision = "queens_contract01"
depends_on = "rocky_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
