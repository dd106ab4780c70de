"""Rules about metadata definitions: namespaces and what lies in them."""

from __future__ import annotations

from oslo_policy import policy

from glance_py.policies.base import ADMIN, ADMIN_OR_READER, rule

_READ = (
    "rule:context_is_admin or "
    "(role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"
)
_WRITE = "rule:metadef_admin"
_OLD = "rule:metadef_default"

_ALL = "/v2/metadefs/namespaces"
_ONE = f"{_ALL}/{{namespace_name}}"
_OBJECT = f"{_ONE}/objects/{{object_name}}"
_PROPERTY = f"{_ONE}/properties/{{property_name}}"
_TAG = f"{_ONE}/tags/{{tag_name}}"
_TYPES = f"{_ONE}/resource_types"


def _reads(name: str, description: str, *operations: str, check: str = _READ):
    return rule(name, check, description, *operations, old=_OLD, since="X")


def _writes(name: str, description: str, *operations: str):
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
    _reads(
        "get_metadef_namespace",
        "See one namespace; a list leaves out what it refuses",
        f"GET {_ONE}",
        f"GET {_ALL}",
    ),
    _reads("get_metadef_namespaces", "List namespaces", f"GET {_ALL}", check=ADMIN_OR_READER),
    _writes("modify_metadef_namespace", "Change a namespace", f"PUT {_ONE}"),
    _writes("add_metadef_namespace", "Create a namespace", f"POST {_ALL}"),
    _writes(
        "delete_metadef_namespace",
        "Delete a namespace, or all of a kind in it",
        f"DELETE {_ONE}",
        f"DELETE {_ONE}/objects",
        f"DELETE {_ONE}/properties",
        f"DELETE {_ONE}/tags",
    ),
    _reads(
        "get_metadef_object",
        "See one object; a list leaves out what it refuses",
        f"GET {_OBJECT}",
        f"GET {_ONE}/objects",
    ),
    _reads("get_metadef_objects", "List objects", f"GET {_ONE}/objects", f"GET {_ONE}"),
    _writes("modify_metadef_object", "Change an object", f"PUT {_OBJECT}"),
    _writes("add_metadef_object", "Create an object", f"POST {_ONE}/objects", f"POST {_ALL}"),
    _writes("delete_metadef_object", "Delete an object", f"DELETE {_OBJECT}"),
    _reads(
        "list_metadef_resource_types",
        "List resource types",
        "GET /v2/metadefs/resource_types",
        f"GET {_TYPES}",
        f"GET {_ALL}",
        f"GET {_ONE}",
    ),
    _reads(
        "get_metadef_resource_type",
        "See the resource types of a namespace; a list leaves out what it refuses",
        f"GET {_TYPES}",
        f"GET {_PROPERTY}",
    ),
    _writes(
        "add_metadef_resource_type_association",
        "Associate a resource type with a namespace",
        f"POST {_TYPES}",
        f"POST {_ALL}",
    ),
    _writes(
        "remove_metadef_resource_type_association",
        "Dissociate a resource type from a namespace",
        f"DELETE {_TYPES}/{{name}}",
    ),
    _reads("get_metadef_property", "See one property", f"GET {_PROPERTY}"),
    _reads("get_metadef_properties", "List properties", f"GET {_ONE}/properties", f"GET {_ONE}"),
    _writes("modify_metadef_property", "Change a property", f"PUT {_PROPERTY}"),
    _writes("add_metadef_property", "Create a property", f"POST {_ONE}/properties", f"POST {_ALL}"),
    _writes("remove_metadef_property", "Delete a property", f"DELETE {_PROPERTY}"),
    _reads("get_metadef_tag", "See one tag", f"GET {_TAG}"),
    _reads("get_metadef_tags", "List tags", f"GET {_ONE}/tags", f"GET {_ONE}"),
    _writes("modify_metadef_tag", "Change a tag", f"PUT {_TAG}"),
    _writes("add_metadef_tag", "Create a tag", f"POST {_TAG}", f"POST {_ALL}"),
    _writes("add_metadef_tags", "Create several tags", f"POST {_ONE}/tags"),
    _writes("delete_metadef_tag", "Delete a tag", f"DELETE {_TAG}"),
    _writes("delete_metadef_tags", "Delete all tags of a namespace", f"DELETE {_ONE}/tags"),
)
