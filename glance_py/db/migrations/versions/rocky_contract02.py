"""Nothing has to go."""

revision = "rocky_contract02"
down_revision = "rocky_contract01"
depends_on = "rocky_expand02"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
