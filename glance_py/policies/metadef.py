"""Rules about metadata definitions: namespaces and the definitions in them."""

from __future__ import annotations

from oslo_policy import policy

from glance_py.policies.base import ADMIN, ADMIN_OR_READER, rule

_READ = (
    "rule:context_is_admin or "
    "(role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"
)
_WRITE = "rule:metadef_admin"
_DEPRECATED_CHECK = "rule:metadef_default"

_NAMESPACES = "/v2/metadefs/namespaces"
_NAMESPACE = f"{_NAMESPACES}/{{namespace_name}}"
_OBJECT = f"{_NAMESPACE}/objects/{{object_name}}"
_PROPERTY = f"{_NAMESPACE}/properties/{{property_name}}"
_TAG = f"{_NAMESPACE}/tags/{{tag_name}}"
_RESOURCE_TYPES = f"{_NAMESPACE}/resource_types"


def _read_rule(
    name: str, description: str, *operations: str, check: str = _READ
) -> policy.RuleDefault:
    return rule(
        name,
        check,
        description,
        *operations,
        deprecated_check=_DEPRECATED_CHECK,
        deprecated_since="X",
    )


def _write_rule(name: str, description: str, *operations: str) -> policy.RuleDefault:
    return rule(name, _WRITE, description, *operations)


RULES = (
    policy.RuleDefault(
        name="metadef_default",
        check_str="",
        description="What old policy files say about metadata definitions.",
    ),
    policy.RuleDefault(
        name="metadef_admin", check_str=ADMIN, description="Who may write metadata definitions."
    ),
    _read_rule(
        "get_metadef_namespace",
        "See one namespace; a list leaves out what it refuses",
        f"GET {_NAMESPACE}",
        f"GET {_NAMESPACES}",
    ),
    _read_rule(
        "get_metadef_namespaces", "List namespaces", f"GET {_NAMESPACES}", check=ADMIN_OR_READER
    ),
    _write_rule("modify_metadef_namespace", "Change a namespace", f"PUT {_NAMESPACE}"),
    _write_rule("add_metadef_namespace", "Create a namespace", f"POST {_NAMESPACES}"),
    _write_rule(
        "delete_metadef_namespace",
        "Delete a namespace, or all of a kind in it",
        f"DELETE {_NAMESPACE}",
        f"DELETE {_NAMESPACE}/objects",
        f"DELETE {_NAMESPACE}/properties",
        f"DELETE {_NAMESPACE}/tags",
    ),
    _read_rule(
        "get_metadef_object",
        "See one object; a list leaves out what it refuses",
        f"GET {_OBJECT}",
        f"GET {_NAMESPACE}/objects",
    ),
    _read_rule(
        "get_metadef_objects", "List objects", f"GET {_NAMESPACE}/objects", f"GET {_NAMESPACE}"
    ),
    _write_rule("modify_metadef_object", "Change an object", f"PUT {_OBJECT}"),
    _write_rule(
        "add_metadef_object",
        "Create an object",
        f"POST {_NAMESPACE}/objects",
        f"POST {_NAMESPACES}",
    ),
    _write_rule("delete_metadef_object", "Delete an object", f"DELETE {_OBJECT}"),
    _read_rule(
        "list_metadef_resource_types",
        "List resource types",
        "GET /v2/metadefs/resource_types",
        f"GET {_RESOURCE_TYPES}",
        f"GET {_NAMESPACES}",
        f"GET {_NAMESPACE}",
    ),
    _read_rule(
        "get_metadef_resource_type",
        "See the resource types of a namespace; a list leaves out what it refuses",
        f"GET {_RESOURCE_TYPES}",
        f"GET {_PROPERTY}",
    ),
    _write_rule(
        "add_metadef_resource_type_association",
        "Associate a resource type with a namespace",
        f"POST {_RESOURCE_TYPES}",
        f"POST {_NAMESPACES}",
    ),
    _write_rule(
        "remove_metadef_resource_type_association",
        "Dissociate a resource type from a namespace",
        f"DELETE {_RESOURCE_TYPES}/{{name}}",
    ),
    _read_rule("get_metadef_property", "See one property", f"GET {_PROPERTY}"),
    _read_rule(
        "get_metadef_properties",
        "List properties",
        f"GET {_NAMESPACE}/properties",
        f"GET {_NAMESPACE}",
    ),
    _write_rule("modify_metadef_property", "Change a property", f"PUT {_PROPERTY}"),
    _write_rule(
        "add_metadef_property",
        "Create a property",
        f"POST {_NAMESPACE}/properties",
        f"POST {_NAMESPACES}",
    ),
    _write_rule("remove_metadef_property", "Delete a property", f"DELETE {_PROPERTY}"),
    _read_rule("get_metadef_tag", "See one tag", f"GET {_TAG}"),
    _read_rule("get_metadef_tags", "List tags", f"GET {_NAMESPACE}/tags", f"GET {_NAMESPACE}"),
    _write_rule("modify_metadef_tag", "Change a tag", f"PUT {_TAG}"),
    _write_rule("add_metadef_tag", "Create a tag", f"POST {_TAG}", f"POST {_NAMESPACES}"),
    _write_rule("add_metadef_tags", "Create several tags", f"POST {_NAMESPACE}/tags"),
    _write_rule("delete_metadef_tag", "Delete a tag", f"DELETE {_TAG}"),
    _write_rule(
        "delete_metadef_tags", "Delete all tags of a namespace", f"DELETE {_NAMESPACE}/tags"
    ),
)
