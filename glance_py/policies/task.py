"""Rules about tasks.

``get_task``, ``get_tasks``, ``add_task`` and ``modify_task`` guard no request any more.  They stay
defined, so that oslopolicy-validator accepts policy files that set them.
"""

from __future__ import annotations

from oslo_policy import policy

from glance_py.policies.base import ADMIN, DEFAULT, rule

RULES = (
    rule(
        "get_task",
        DEFAULT,
        "See one task",
        "GET /v2/tasks/{task_id}",
        deprecated_check=DEFAULT,
        deprecated_since="X",
    ),
    rule(
        "get_tasks",
        DEFAULT,
        "List tasks",
        "GET /v2/tasks",
        deprecated_check=DEFAULT,
        deprecated_since="X",
    ),
    rule(
        "add_task",
        DEFAULT,
        "Create a task",
        "POST /v2/tasks",
        deprecated_check=DEFAULT,
        deprecated_since="X",
    ),
    policy.DocumentedRuleDefault(
        name="modify_task",
        check_str=DEFAULT,
        scope_types=["project"],
        description="Delete a task, which no request does any more",
        operations=[{"method": "DELETE", "path": "/v2/tasks/{task_id}"}],
        deprecated_for_removal=True,
        deprecated_since="W",
        deprecated_reason="No request changes or deletes a task.",
    ),
    rule(
        "tasks_api_access",
        ADMIN,
        "Use the tasks API",
        "GET /v2/tasks/{task_id}",
        "GET /v2/tasks",
        "POST /v2/tasks",
        "DELETE /v2/tasks/{task_id}",
    ),
)
