"""Tasks, which by default administrators alone may list and start."""

from __future__ import annotations

import uuid

import webob
from webob import exc

from glance_py.domain.ports import TaskOperations
from glance_py.http.ports import PolicyEnforcer
from glance_py.http.request import Request, json_response
from glance_py.settings import ApiSettings
from glance_py.wire import paths
from glance_py.wire.task import dump_task, dump_tasks, load_task, load_task_query


class TasksController:
    """Tasks as a whole."""

    def __init__(self, tasks: TaskOperations, api: ApiSettings, enforcer: PolicyEnforcer) -> None:
        self._tasks = tasks
        self._enforcer = enforcer
        self._limits = api.limit_param_default, api.api_limit_max

    def index(self, request: Request) -> webob.Response:
        """GET /v2/tasks"""
        query_string = request.query_string
        query = load_task_query(query_string, *self._limits)
        return json_response(
            dump_tasks(self._tasks.list(request.context, query), query, query_string)
        )

    def create(self, request: Request) -> webob.Response:
        """POST /v2/tasks"""
        # wire: the policy comes before the checks of the body.
        self._enforcer.enforce(request.context, "tasks_api_access", {})
        task = load_task(request.context, str(uuid.uuid4()), request.read_json_body())
        task = self._tasks.create(request.context, task)
        return json_response(dump_task(task), 201, (("Location", f"{paths.TASKS}/{task.id}"),))

    def show(self, request: Request, task_id: str) -> webob.Response:
        """GET /v2/tasks/{task_id}"""
        return json_response(dump_task(self._tasks.get(request.context, task_id)))

    def delete(self, request: Request, task_id: str) -> webob.Response:
        """DELETE /v2/tasks/{task_id}, which Image API v2 does not allow."""
        self._enforcer.enforce(request.context, "tasks_api_access", {})
        raise exc.HTTPMethodNotAllowed(
            explanation="Tasks are not deleted; they expire.", headers={"Allow": "GET"}
        )
