"""Check strings that default rules share, a function that makes rules, and rules about roles.

Check strings and names of rules are those of Glance, because policy files of operators refer to
them (``tests/unit/policies/test_defaults.py``).
"""

from __future__ import annotations

from typing import Any

from oslo_policy import policy

from glance_py.policies import extension

# Before the first rule is created: that parses its check string.
extension.install_lazy_extension_checks()

ADMIN = "rule:context_is_admin"
DEFAULT = "rule:default"
SERVICE = "rule:service_api"
ADMIN_OR_SERVICE = "rule:context_is_admin or rule:service_api"

ADMIN_OR_MEMBER = "rule:context_is_admin or (role:member and project_id:%(project_id)s)"
ADMIN_OR_READER = "rule:context_is_admin or (role:reader and project_id:%(project_id)s)"
CREATE_IMAGE = (
    "rule:context_is_admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)"
)
SERVICE_OR_MEMBER = (
    "rule:service_api or (role:member and project_id:%(project_id)s and project_id:%(owner)s)"
)
_VISIBLE = (
    "(project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s "
    "or 'public':%(visibility)s or 'shared':%(visibility)s)"
)
GET_IMAGE = f"rule:context_is_admin or (role:reader and {_VISIBLE})"
DOWNLOAD_IMAGE = f"rule:context_is_admin or (role:member and {_VISIBLE})"
READ_MEMBERS = (
    "rule:context_is_admin or role:reader and "
    "(project_id:%(project_id)s or project_id:%(member_id)s)"
)
ADMIN_OR_IMAGE_MEMBER = "rule:context_is_admin or (role:member and project_id:%(member_id)s)"


def rule(
    name: str,
    check: str,
    description: str,
    *operations: str,
    deprecated_check: str | None = None,
    deprecated_since: str | None = None,
) -> policy.RuleDefault:
    """A rule of scope ``project``.

    :param operations: the requests that it guards, each "METHOD path".
    :param deprecated_check: the default until release ``deprecated_since``.  It is ORed to the
        rule when the operator sets ``[oslo_policy] enforce_new_defaults`` to false.
    """
    deprecated = None
    if deprecated_check is not None:
        deprecated = policy.DeprecatedRule(
            name=name,
            check_str=deprecated_check,
            deprecated_since=deprecated_since,
            deprecated_reason="The default now names the roles reader and member of a project.",
        )
    arguments: dict[str, Any] = {
        "name": name,
        "check_str": check,
        "scope_types": ["project"],
        "description": description,
        "deprecated_rule": deprecated,
    }
    if not operations:
        return policy.RuleDefault(**arguments)
    operation_list: list[Any] = []
    for text in operations:
        method, path = text.split()
        operation_list.append({"method": method, "path": path})
    return policy.DocumentedRuleDefault(operations=operation_list, **arguments)


RULES = (
    policy.RuleDefault(
        name="default",
        check_str="",
        description="The rule that stands for undefined ones, and that old policy files refer to.",
        deprecated_rule=policy.DeprecatedRule(
            name="default",
            check_str="rule:context_is_admin",
            deprecated_since="Ussuri",
            deprecated_reason="Every request names a rule of its own.",
        ),
    ),
    policy.RuleDefault(
        name="context_is_admin",
        check_str="role:admin",
        description="Who is an administrator, and sees and changes the images of all projects.",
    ),
    policy.RuleDefault(
        name="service_api",
        check_str="role:service or role:admin",
        description="Who is another service, such as compute or block storage.",
    ),
)
