"""A configuration and callers for tests that need no server."""

from __future__ import annotations

from glance_py.context import RequestContext
from tests.config import loaded as make_conf

__all__ = ["make_caller", "make_conf", "make_member"]


def make_caller(*roles: str, project: str | None = "p1", user: str = "u", **more) -> RequestContext:
    """A caller with these roles in this project."""
    return RequestContext(user_id=user, project_id=project, roles=list(roles), **more)


def make_member(project: str = "p1") -> RequestContext:
    return make_caller("member", "reader", project=project)
