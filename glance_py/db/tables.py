"""The tables of the current schema.

Names of tables, columns, indexes and constraints are those of existing databases: a change here
needs a migration, except for the tables at the end.  This module has no queries.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData()


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


images = sa.Table(
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
)

image_properties = sa.Table(
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
)

image_locations = sa.Table(
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
)

image_members = sa.Table(
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
)

image_tags = sa.Table(
    "image_tags",
    metadata,
    _key(),
    _image_id(),
    sa.Column("value", sa.String(255), nullable=False),
    *_audit(),
    sa.Index("ix_image_tags_image_id", "image_id"),
    sa.Index("ix_image_tags_image_id_tag_value", "image_id", "value"),
)

tasks = sa.Table(
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
)

task_info = sa.Table(
    "task_info",
    metadata,
    sa.Column("task_id", sa.String(36), sa.ForeignKey("tasks.id"), primary_key=True),
    sa.Column("input", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("message", sa.Text),
)

node_reference = sa.Table(
    "node_reference",
    metadata,
    sa.Column("node_reference_id", _BigKey, primary_key=True),
    sa.Column("node_reference_url", sa.String(255), nullable=False),
    sa.UniqueConstraint("node_reference_url", name="uq_node_reference_node_reference_url"),
)

cached_images = sa.Table(
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
)

metadef_namespaces = sa.Table(
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
)

metadef_resource_types = sa.Table(
    "metadef_resource_types",
    metadata,
    _key(),
    sa.Column("name", sa.String(80), nullable=False),
    _flag("protected"),
    *_dates(),
    sa.UniqueConstraint("name", name="uq_metadef_resource_types_name"),
)


def _of_namespace(noun: str, *columns: sa.Column[Any]) -> sa.Table:
    """A table of definitions, whose names are unique in their namespace."""
    table = f"metadef_{noun}"
    return sa.Table(
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
    )


metadef_objects = _of_namespace(
    "objects",
    sa.Column("description", sa.Text),
    sa.Column("required", sa.Text),
    sa.Column("json_schema", sa.Text, nullable=False),
)
metadef_properties = _of_namespace("properties", sa.Column("json_schema", sa.Text, nullable=False))
metadef_tags = _of_namespace("tags")

metadef_namespace_resource_types = sa.Table(
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
)


# --- Tables that only this service has -------------------------------------------------------
#
# Declare one here, in ``metadata`` and with OWN_TABLE_OPTIONS, and add it to OWN_TABLES:
# ``glance-manage db sync`` and ``db expand`` create it where it is missing, see
# ``migrations/own_tables.py``.  It has no foreign key: the original service, which does not know
# it, must still be able to delete rows of its own tables.

OWN_TABLE_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8"}

#: Which attempt works on the data of an image, see ``glance_py.domain.claim``.
image_claims = sa.Table(
    "image_claims",
    metadata,
    sa.Column("image_id", sa.String(36), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("holder", sa.String(36)),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("task_id", sa.String(36)),
    sa.Column("host", sa.String(255), nullable=False, server_default=""),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("staged", sa.Integer, nullable=False),
    # Data was deleted: the row must stay, so that no later attempt has the name of the first.
    _flag("keep"),
    sa.Column("updated_at", sa.DateTime, nullable=False),
    # Observers read only held claims, so that their cost does not grow with the table.
    sa.Index("ix_image_claims_holder", "holder"),
    **OWN_TABLE_OPTIONS,
)

#: Digests of the URLs of image_locations, see ``location_index``.
location_digests = sa.Table(
    "location_digests",
    metadata,
    sa.Column("location_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Index("ix_location_digests_digest", "digest"),
    **OWN_TABLE_OPTIONS,
)

#: Answers of a registry to writes that a client may repeat, see ``idempotency``.
registry_answers = sa.Table(
    "registry_answers",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("created_at", sa.DateTime, nullable=False),
    # A BLOB of MySQL has at most 64 KiB.
    sa.Column("answer", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql"), nullable=False),
    sa.Index("ix_registry_answers_created_at", "created_at"),
    **OWN_TABLE_OPTIONS,
)

OWN_TABLES: list[sa.Table] = [image_claims, location_digests, registry_answers]
