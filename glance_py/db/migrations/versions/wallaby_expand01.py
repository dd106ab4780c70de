"""Adds the image, the request and the user to tasks."""

import sqlalchemy as sa

from glance_py.db.migrations.schema_operations import add_columns

revision = "wallaby_expand01"
down_revision = "ussuri_expand01"


def upgrade() -> None:
    """Adds the columns; they are null in existing tasks."""
    add_columns(
        "tasks",
        sa.Column("image_id", sa.String(36)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("user_id", sa.String(64)),
        index={"ix_tasks_image_id": "image_id"},
    )
