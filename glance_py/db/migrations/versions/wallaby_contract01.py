"""Nothing has to go."""

revision = "wallaby_contract01"
down_revision = "ussuri_contract01"
depends_on = "wallaby_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
