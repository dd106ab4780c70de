"""Nothing has to go."""

revision = "zed_contract01"
down_revision = "yoga_contract01"
depends_on = "zed_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
