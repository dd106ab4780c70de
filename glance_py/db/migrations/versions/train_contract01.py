"""Locations name their store with the key "store"."""

from alembic import op

from glance_py.db.migrations import data_migrations

revision = "train_contract01"
down_revision = "rocky_contract02"
depends_on = "train_expand01"


def upgrade() -> None:
    """Renames the key where it is not renamed yet."""
    data_migrations.STORE_OF_LOCATION.migrate(op.get_bind())
