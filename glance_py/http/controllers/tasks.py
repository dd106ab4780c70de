"""Tasks, which administrators may look at and start."""

from __future__ import annotations

import uuid

import webob
from webob import exc

from glance_py.domain.ports import TaskOperations
from glance_py.http.request import Request, json_response
from glance_py.wire.task import dump_task, dump_tasks, load_task, load_task_query


class TasksController:
    """Tasks as a whole."""

    def __init__(self, tasks: TaskOperations, conf, enforcer) -> None:
        self._tasks = tasks
        self._enforcer = enforcer
        self._limits = conf.limit_param_default, conf.api_limit_max

    def index(self, request: Request) -> webob.Response:
        """GET /v2/tasks"""
        query_string = request.environ.get("QUERY_STRING", "")
        query = load_task_query(query_string, *self._limits)
        return json_response(
            dump_tasks(self._tasks.list(request.context, query), query, query_string)
        )

    def create(self, request: Request) -> webob.Response:
        """POST /v2/tasks"""
        # wire: who may not use tasks is told so before the body is judged.
        self._enforcer.enforce(request.context, "tasks_api_access", {})
        task = load_task(request.context, str(uuid.uuid4()), request.read_json_body())
        task = self._tasks.create(request.context, task)
        return json_response(dump_task(task), 201, (("Location", f"/v2/tasks/{task.id}"),))

    def show(self, request: Request, task_id: str) -> webob.Response:
        """GET /v2/tasks/{task_id}"""
        return json_response(dump_task(self._tasks.get(request.context, task_id)))

    def delete(self, request: Request, task_id: str) -> webob.Response:
        """DELETE /v2/tasks/{task_id}, which the API has given up."""
        self._enforcer.enforce(request.context, "tasks_api_access", {})
        raise exc.HTTPMethodNotAllowed(
            explanation="Tasks are not deleted; they expire.", headers={"Allow": "GET"}
        )
