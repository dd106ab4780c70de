"""The snapshot: all tables of release 2024.1, for an empty database.

It replaces the revisions from Liberty to 2024.1, and never changes: later changes are revisions,
besides ``db/tables.py``.  ``tests/contract/dal/upgrade_cases.py`` compares it with the schema that
the revisions make.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()

#: The revisions of a database with these tables, before and after the contraction.  They never
#: change: newer revisions run after the tables were created.
EXPANDED = "2024_1_expand01"
CONTRACTED = "2024_1_contract01"

#: All of Unicode, as on the other products.  Tables of earlier releases keep their character set.
#: The default collation of the server would equate all emoji.
_MYSQL = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
}

#: SQLite generates keys only for a column declared INTEGER.
_BigKey = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _flag(
    name: str, nullable: bool = False, server_default: sa.False_ | None = None
) -> sa.Column[bool]:
    return sa.Column(
        name,
        sa.Boolean(create_constraint=True),
        nullable=nullable,
        server_default=server_default,
    )


def _dates() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
    )


def _audit() -> tuple[sa.Column[Any], ...]:
    return (*_dates(), sa.Column("deleted_at", sa.DateTime), _flag("deleted"))


def _image_id() -> sa.Column[str]:
    return sa.Column("image_id", sa.String(36), sa.ForeignKey("images.id"), nullable=False)


def _key(name: str = "id") -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=True)


sa.Table(
    "images",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(255)),
    sa.Column("size", sa.BigInteger),
    sa.Column("status", sa.String(30), nullable=False),
    *_audit(),
    sa.Column("disk_format", sa.String(20)),
    sa.Column("container_format", sa.String(20)),
    sa.Column("checksum", sa.String(32)),
    sa.Column("owner", sa.String(255)),
    sa.Column("min_disk", sa.Integer, nullable=False),
    sa.Column("min_ram", sa.Integer, nullable=False),
    _flag("protected", server_default=sa.false()),
    sa.Column("virtual_size", sa.BigInteger),
    sa.Column(
        "visibility",
        sa.Enum("private", "public", "shared", "community", name="image_visibility"),
        nullable=False,
        server_default="shared",
    ),
    sa.Column("os_hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("os_hash_algo", sa.String(64)),
    sa.Column("os_hash_value", sa.String(128)),
    sa.Index("checksum_image_idx", "checksum"),
    sa.Index("visibility_image_idx", "visibility"),
    sa.Index("ix_images_deleted", "deleted"),
    sa.Index("owner_image_idx", "owner"),
    sa.Index("created_at_image_idx", "created_at"),
    sa.Index("updated_at_image_idx", "updated_at"),
    sa.Index("os_hidden_image_idx", "os_hidden"),
    sa.Index("os_hash_value_image_idx", "os_hash_value"),
    **_MYSQL,
)

sa.Table(
    "image_properties",
    metadata,
    _key(),
    _image_id(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("value", sa.Text),
    *_audit(),
    sa.UniqueConstraint("image_id", "name", name="ix_image_properties_image_id_name"),
    sa.Index("ix_image_properties_image_id", "image_id"),
    sa.Index("ix_image_properties_deleted", "deleted"),
    **_MYSQL,
)

sa.Table(
    "image_locations",
    metadata,
    _key(),
    _image_id(),
    sa.Column("value", sa.Text, nullable=False),
    *_audit(),
    sa.Column("meta_data", sa.Text),
    sa.Column("status", sa.String(30), nullable=False, server_default="active"),
    sa.Index("ix_image_locations_image_id", "image_id"),
    sa.Index("ix_image_locations_deleted", "deleted"),
    **_MYSQL,
)

sa.Table(
    "image_members",
    metadata,
    _key(),
    _image_id(),
    sa.Column("member", sa.String(255), nullable=False),
    _flag("can_share"),
    *_audit(),
    sa.Column("status", sa.String(20), nullable=False, server_default="pending"),
    sa.UniqueConstraint(
        "image_id", "member", "deleted_at", name="image_members_image_id_member_deleted_at_key"
    ),
    sa.Index("ix_image_members_deleted", "deleted"),
    sa.Index("ix_image_members_image_id", "image_id"),
    sa.Index("ix_image_members_image_id_member", "image_id", "member"),
    **_MYSQL,
)

sa.Table(
    "image_tags",
    metadata,
    _key(),
    _image_id(),
    sa.Column("value", sa.String(255), nullable=False),
    *_audit(),
    sa.Index("ix_image_tags_image_id", "image_id"),
    sa.Index("ix_image_tags_image_id_tag_value", "image_id", "value"),
    **_MYSQL,
)

sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("type", sa.String(30), nullable=False),
    sa.Column("status", sa.String(30), nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("expires_at", sa.DateTime),
    *_audit(),
    sa.Column("image_id", sa.String(36)),
    sa.Column("request_id", sa.String(64)),
    sa.Column("user_id", sa.String(64)),
    sa.Index("ix_tasks_type", "type"),
    sa.Index("ix_tasks_status", "status"),
    sa.Index("ix_tasks_owner", "owner"),
    sa.Index("ix_tasks_deleted", "deleted"),
    sa.Index("ix_tasks_updated_at", "updated_at"),
    sa.Index("ix_tasks_image_id", "image_id"),
    **_MYSQL,
)

sa.Table(
    "task_info",
    metadata,
    sa.Column("task_id", sa.String(36), sa.ForeignKey("tasks.id"), primary_key=True),
    sa.Column("input", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("message", sa.Text),
    **_MYSQL,
)

sa.Table(
    "node_reference",
    metadata,
    sa.Column("node_reference_id", _BigKey, primary_key=True),
    sa.Column("node_reference_url", sa.String(255), nullable=False),
    sa.UniqueConstraint("node_reference_url", name="uq_node_reference_node_reference_url"),
    **_MYSQL,
)

sa.Table(
    "cached_images",
    metadata,
    sa.Column("id", _BigKey, primary_key=True),
    sa.Column("image_id", sa.String(36), nullable=False),
    sa.Column("last_accessed", sa.DateTime, nullable=False),
    sa.Column("last_modified", sa.DateTime, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("hits", sa.Integer, nullable=False),
    sa.Column("checksum", sa.String(32)),
    sa.Column(
        "node_reference_id",
        _BigKey,
        sa.ForeignKey("node_reference.node_reference_id"),
        nullable=False,
    ),
    sa.UniqueConstraint(
        "image_id", "node_reference_id", name="ix_cached_images_image_id_node_reference_id"
    ),
    **_MYSQL,
)

sa.Table(
    "metadef_namespaces",
    metadata,
    _key(),
    sa.Column("namespace", sa.String(80), nullable=False),
    sa.Column("display_name", sa.String(80)),
    sa.Column("description", sa.Text),
    sa.Column("visibility", sa.String(32)),
    _flag("protected", nullable=True),
    sa.Column("owner", sa.String(255), nullable=False),
    *_dates(),
    sa.UniqueConstraint("namespace", name="uq_metadef_namespaces_namespace"),
    sa.Index("ix_metadef_namespaces_owner", "owner"),
    **_MYSQL,
)

sa.Table(
    "metadef_resource_types",
    metadata,
    _key(),
    sa.Column("name", sa.String(80), nullable=False),
    _flag("protected"),
    *_dates(),
    sa.UniqueConstraint("name", name="uq_metadef_resource_types_name"),
    **_MYSQL,
)


def _of_namespace(noun: str, *columns: sa.Column[Any]) -> None:
    """A table of definitions, whose names are unique in their namespace."""
    table = f"metadef_{noun}"
    sa.Table(
        table,
        metadata,
        _key(),
        sa.Column(
            "namespace_id", sa.Integer, sa.ForeignKey("metadef_namespaces.id"), nullable=False
        ),
        sa.Column("name", sa.String(80), nullable=False),
        *columns,
        *_dates(),
        sa.UniqueConstraint("namespace_id", "name", name=f"uq_{table}_namespace_id_name"),
        sa.Index(f"ix_{table}_name", "name"),
        **_MYSQL,
    )


_of_namespace(
    "objects",
    sa.Column("description", sa.Text),
    sa.Column("required", sa.Text),
    sa.Column("json_schema", sa.Text, nullable=False),
)
_of_namespace("properties", sa.Column("json_schema", sa.Text, nullable=False))
_of_namespace("tags")

sa.Table(
    "metadef_namespace_resource_types",
    metadata,
    sa.Column(
        "resource_type_id",
        sa.Integer,
        sa.ForeignKey("metadef_resource_types.id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column(
        "namespace_id",
        sa.Integer,
        sa.ForeignKey("metadef_namespaces.id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("properties_target", sa.String(80)),
    sa.Column("prefix", sa.String(80)),
    *_dates(),
    sa.Index("ix_metadef_ns_res_types_namespace_id", "namespace_id"),
    **_MYSQL,
)
