"""What an operator may allow and forbid: every rule of the service, once.

One module per noun lists its rules with default, scope and the requests they
guard; ``enforcer`` asks them.  Nothing here knows an image from a database row.
"""

from __future__ import annotations

from oslo_policy import policy

from glance_py.policies import base, cache, discovery, image, metadef, task


def list_rules() -> list[policy.RuleDefault]:
    """Every default rule of the service, for oslo.policy and its tools.

    This is the entry point ``oslo.policy.policies: glance``.
    """
    modules = (base, image, task, metadef, cache, discovery)
    return [rule for module in modules for rule in module.RULES]
