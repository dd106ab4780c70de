"""Nothing of the tables of 2024.1 has to go; this marks that the upgrade is complete."""

revision = "2024_1_contract01"
down_revision = "2024_1_expand01"


def upgrade() -> None:
    """The state after the expansion is the final one."""
