"""The policy rules of the service, and the enforcer that evaluates them.

One module per kind of resource lists its rules: default, scope and the requests that they guard.
"""

from __future__ import annotations

from oslo_policy import policy

from glance_py.policies import base, cache, discovery, image, metadef, task


def list_rules() -> list[policy.RuleDefault]:
    """All default rules of the service; the entry point ``oslo.policy.policies: glance``."""
    modules = (base, image, task, metadef, cache, discovery)
    return [rule for module in modules for rule in module.RULES]
