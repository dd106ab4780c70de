"""Metadata definitions for servers use the current name of the resource type."""

import sqlalchemy as sa
from alembic import op

revision = "mitaka02"
down_revision = "mitaka01"

_OLD, _NEW = "OS::Nova::Instance", "OS::Nova::Server"


def upgrade() -> None:
    """Renames the resource type, unless both exist."""
    types = sa.table("metadef_resource_types", sa.column("name"))
    connection = op.get_bind()
    if connection.scalar(sa.select(types.c.name).where(types.c.name == _NEW)) is None:
        connection.execute(types.update().where(types.c.name == _OLD).values(name=_NEW))
