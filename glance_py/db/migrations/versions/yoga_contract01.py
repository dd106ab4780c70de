"""Nothing has to go."""

revision = "yoga_contract01"
down_revision = "xena_contract01"
depends_on = "yoga_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
