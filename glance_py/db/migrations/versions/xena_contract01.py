"""Nothing has to go."""

revision = "xena_contract01"
down_revision = "wallaby_contract01"
depends_on = "xena_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
