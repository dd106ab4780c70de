"""Nothing has to go."""

revision = "ussuri_contract01"
down_revision = "train_contract01"
depends_on = "ussuri_expand01"


def upgrade() -> None:
    """Marks the release; its tables are those of the one before."""
