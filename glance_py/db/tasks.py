"""Tasks: the port ``TaskRepository`` in SQL.

A task is one row in ``tasks``, which lists read, and one in ``task_info`` with its texts.  Every
change of status is an UPDATE with the condition that the task is unfinished, so that of several
workers that finish a task exactly one succeeds.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from glance_py.db import paging
from glance_py.db.database import Database
from glance_py.db.hints import not_deleted
from glance_py.db.tables import task_info, tasks
from glance_py.domain import errors
from glance_py.domain.task import UNFINISHED, Task, TaskQuery

_TASK_COLUMNS = tuple(tasks.c[f.name] for f in dataclasses.fields(Task) if f.name in tasks.c)
_INFO_COLUMNS = (task_info.c.input, task_info.c.result, task_info.c.message)
_INFO_NAMES = tuple(column.name for column in _INFO_COLUMNS)

_SELECT = (
    sa.select(*_TASK_COLUMNS, *_INFO_COLUMNS)
    .join_from(tasks, task_info, tasks.c.id == task_info.c.task_id, isouter=True)
    .where(not_deleted(tasks))
)
_BY_ID = _SELECT.where(tasks.c.id == sa.bindparam("this_id"))
_OF_IMAGE = _SELECT.where(
    tasks.c.image_id == sa.bindparam("image_id"),
    tasks.c.expires_at.is_(None) | (tasks.c.expires_at > sa.bindparam("now")),
).order_by(tasks.c.created_at, tasks.c.id)
_EXPIRED = (
    tasks.update()
    .where(not_deleted(tasks), tasks.c.expires_at <= sa.bindparam("now"))
    .values(deleted=sa.true(), deleted_at=sa.bindparam("now"), updated_at=sa.bindparam("now"))
)
_UNFINISHED = tasks.c.status.in_(sorted(UNFINISHED))
_CHANGE = tasks.update().where(
    tasks.c.id == sa.bindparam("this_id"), not_deleted(tasks), _UNFINISHED
)
_CHANGE_INFO = task_info.update().where(task_info.c.task_id == sa.bindparam("this_id"))


class SqlTasks:
    """Tasks in a database.  Times are naive UTC."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, task: Task) -> Task:
        """Insert a new task.

        :returns: the task with its times.
        """
        now = self._database.now()
        created = dataclasses.replace(task, created_at=now, updated_at=now)

        def work(connection: sa.Connection) -> None:
            row = {column.name: getattr(created, column.name) for column in _TASK_COLUMNS}
            connection.execute(tasks.insert(), {**row, "deleted": False})
            connection.execute(
                task_info.insert(),
                {
                    "task_id": task.id,
                    "input": _json(task.input),
                    "result": _json(task.result),
                    "message": task.message,
                },
            )

        self._database.write(work)
        return created

    def get(self, task_id: str) -> Task:
        """The task with its texts, whatever its owner.

        :raises errors.TaskNotFound: there is none.
        """
        row = self._database.read(
            lambda connection: connection.execute(_BY_ID, {"this_id": task_id}).first()
        )
        if row is None:
            raise errors.TaskNotFound(task_id)
        return _task(row)

    def list(self, query: TaskQuery, owner: str | None = None) -> Sequence[Task]:
        """One page of tasks without their texts.

        :param owner: only tasks of this project; None for all.
        :raises errors.Invalid: the marker is not among these tasks.
        """
        wanted = {"owner": owner, "type": query.type, "status": query.status}
        rows = sa.select(*_TASK_COLUMNS).where(
            not_deleted(tasks),
            *(tasks.c[name] == value for name, value in wanted.items() if value is not None),
        )

        def work(connection: sa.Connection) -> Sequence[Task]:
            after = None if query.marker is None else _marker(connection, query, owner)
            page = paging.page_query(rows, _keys(query), query.sort[1], query.limit, after)
            return [Task(**row) for row in connection.execute(page).mappings()]

        return self._database.read(work)

    def list_for_image(self, image_id: str) -> Sequence[Task]:
        """The tasks of an image that have not expired, with their texts, oldest first."""
        wanted = {"image_id": image_id, "now": self._database.now()}
        return self._database.read(
            lambda connection: [_task(row) for row in connection.execute(_OF_IMAGE, wanted)]
        )

    def expire(self) -> int:
        """Mark finished tasks deleted whose ``expires_at`` has passed; returns how many."""
        now = {"now": self._database.now()}
        return self._database.write(lambda connection: connection.execute(_EXPIRED, now).rowcount)

    def update(self, task: Task, **fields: Any) -> Task:
        """Change an unfinished task.

        :param fields: new values of fields of ``Task``.
        :returns: the task with the changes.
        :raises errors.TaskAlreadyFinished: it is finished, or deleted.
        """
        now = self._database.now()
        after = dataclasses.replace(task, updated_at=now, **fields)
        columns = {name: value for name, value in fields.items() if name in tasks.c}
        texts = {name: value for name, value in fields.items() if name in _INFO_NAMES}

        def work(connection: sa.Connection) -> None:
            changed = connection.execute(
                _CHANGE, {"this_id": task.id, **columns, "updated_at": now}
            )
            if changed.rowcount == 0:
                raise errors.TaskAlreadyFinished(task.id)
            if texts:
                connection.execute(
                    _CHANGE_INFO,
                    {
                        "this_id": task.id,
                        **{
                            name: value if name == "message" else _json(value)
                            for name, value in texts.items()
                        },
                    },
                )

        self._database.write(work)
        return after


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _task(row: sa.Row[*tuple[Any, ...]]) -> Task:
    values = dict(row._mapping)
    for name in ("input", "result"):
        values[name] = orjson.loads(values[name]) if values[name] else None
    values["message"] = values["message"] or ""
    return Task(**values)


def _key(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """An expression that sorts like ``column`` and has the least value for null."""
    if isinstance(column.type, sa.DateTime):
        return sa.func.coalesce(column, datetime.datetime(1970, 1, 1))
    return sa.func.coalesce(column, "") if column.nullable else column


def _keys(query: TaskQuery) -> tuple[sa.ColumnElement[Any], ...]:
    """The sort keys: the column of the query, then created_at and id."""
    return tuple(_key(tasks.c[name]) for name in dict.fromkeys((query.sort[0], "created_at", "id")))


def _marker(connection: sa.Connection, query: TaskQuery, owner: str | None) -> Sequence[Any]:
    """The marker's values of the sort keys.

    :raises errors.Invalid: there is no such task, or it has another owner.
    """
    one, bound = _BY_ID, {"this_id": query.marker}
    if owner is not None:
        one, bound["me"] = one.where(tasks.c.owner == sa.bindparam("me")), owner
    row = paging.marker_keys(connection, _keys(query), one, bound)
    if row is None:
        raise errors.Invalid(f"Marker {query.marker} names no task that you can see.")
    return row
