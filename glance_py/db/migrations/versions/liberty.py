"""The schema of release Liberty, the oldest one that can be upgraded."""

revision = "liberty"
down_revision = None


def upgrade() -> None:
    """Never runs: an empty database begins with the snapshot."""
    raise NotImplementedError("The schema of Liberty cannot be created.")
