"""Who is asking.

The first argument of every operation; never global, never stored in a layer.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_context import context


def set_current(ctx: RequestContext | Mapping[str, Any] | None) -> None:
    """Set whose request this thread works on; oslo.log adds it to each line.

    :param ctx: a context; a mapping with the ``request_id`` while the caller is unknown; None
        between two requests.
    """
    context.RequestContext.update_store(ctx)  # type: ignore[arg-type]


def request_log_fields(request_id: str | None) -> dict[str, Any]:
    """What log lines can say of a request before it is known who asks."""
    return {"request_id": request_id, "global_request_id": None}


class RequestContext(context.RequestContext):
    """The caller of one request.

    ``is_admin`` is decided once, by the policy rule ``context_is_admin``.
    ``read_only`` marks an anonymous caller, who may look but not change.
    ``service_catalog`` is the caller's catalogue as keystonemiddleware found it.
    ``next_policy_check`` is when this request looks at the policy files again (time.monotonic).
    ``is_elevated`` marks what the operator's rules let the caller have done to what
    belongs to others: for that the service answers on its own account.
    """

    #: oslo.context allows None for "not decided yet"; here it is decided when a context is made.
    is_admin: bool

    def __init__(
        self,
        read_only: bool = False,
        service_catalog: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(overwrite=False, **kwargs)
        if self.is_admin is None:
            self.is_admin = False
        self.read_only = read_only
        self.service_catalog = service_catalog
        self.is_elevated = False
        self.next_policy_check = 0.0

    def update_store(self) -> None:
        """Do nothing: a new context is not yet the one this thread works for (``set_current``).

        The base class would make it so where there is none, for good.
        """

    def elevated(self) -> RequestContext:
        """A copy of this context with the rights of the service."""
        elevated = copy.copy(self)
        elevated.is_elevated = True
        return elevated

    @functools.cached_property
    def credentials(self) -> Mapping[str, object]:
        """The caller as oslo.policy wants it, computed once a request."""
        return dict(self.to_policy_values())


def get_admin_context() -> RequestContext:
    """A new context with the rights of the service itself, for work that no request asks for."""
    return RequestContext(is_admin=True)
