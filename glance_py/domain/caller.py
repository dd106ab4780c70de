"""The caller of an operation, as the domain and everything below it sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Caller(Protocol):
    """Who asks for an operation; the first argument of every operation.

    ``glance_py.context.RequestContext`` is the implementation for a request.  All members are
    read-only here: only the middleware that authenticates a request sets them.
    """

    #: When the policy enforcer looks at the policy files again for this request, in seconds of
    #: ``time.monotonic``; the one member that is written below the middleware.
    next_policy_check: float

    @property
    def user_id(self) -> str | None:
        """Keystone's id of the user, None for an anonymous caller."""

    @property
    def project_id(self) -> str | None:
        """Keystone's id of the project that the token is scoped to, None without a scope."""

    @property
    def is_admin(self) -> bool:
        """True when the policy rule ``context_is_admin`` holds for the caller."""

    @property
    def read_only(self) -> bool:
        """True for an anonymous caller, which may read and not write."""

    @property
    def roles(self) -> Sequence[str]:
        """Names of the roles that the caller has in its project."""

    @property
    def service_roles(self) -> Sequence[str]:
        """Names of the roles of the service token that came with the request."""

    @property
    def auth_token(self) -> str | None:
        """The token of the request; a secret."""

    @property
    def service_catalog(self) -> Sequence[Mapping[str, Any]] | None:
        """Keystone's catalog of the token, None when the middleware did not keep it."""

    @property
    def request_id(self) -> str | None:
        """The id of the request, ``req-`` and a UUID."""

    @property
    def credentials(self) -> Mapping[str, object]:
        """The caller as oslo.policy reads it (``RequestContext.to_policy_values``)."""

    @property
    def is_elevated(self) -> bool:
        """True when the operation acts with the rights of the service (see ``elevated``)."""

    def elevated(self) -> Caller:
        """A copy of this caller whose operation acts with the rights of the service."""
