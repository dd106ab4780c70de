"""Sends commands to a registry and returns what its methods returned or raised.

A request has one command.  A write that may have been executed, although its answer was lost, is
sent once more with the same idempotency key.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any, Protocol

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.registry import protocol
from glance_py.registry.codec import DecodeError
from glance_py.registry.identity import is_service_account
from glance_py.registry.protocol import RpcCommand

LOG = logging.getLogger(__name__)

#: The longest request id that a registry accepts by default (option ``max_request_id_length``).
_MAX_REQUEST_ID_LENGTH = 64


class RegistryTransport(Protocol):
    """Carries requests to a registry, for example ``connection.RegistryConnection``."""

    def post(self, body: bytes, headers: dict[str, str], is_repeatable: bool) -> tuple[int, bytes]:
        """Send a request and return the status and the body of the answer.

        :param is_repeatable: it may be executed twice.
        :raises errors.DatabaseUnavailable: there was no answer, and nothing was executed.
        :raises errors.OutcomeUnknown: there was no answer, and a request that is not repeatable
            may have been executed.
        """

    def for_heartbeats(self) -> RegistryTransport:
        """Another connection to the same registry, with a short timeout."""


class Identity(Protocol):
    """Determines as whom a command is sent; see :mod:`glance_py.registry.identity`."""

    def headers(self, ctx: Caller | None) -> dict[str, str]:
        """The headers that name the caller and this API host; without a caller, this host alone.

        :raises errors.DatabaseUnavailable: this host got no token from Keystone.
        """

    def refresh(self) -> bool:
        """Replace the token of this host; False when it has none."""


class RegistryClient:
    """Executes commands on a registry.  Safe in threads."""

    def __init__(self, connection: RegistryTransport, identity: Identity) -> None:
        self._connection = connection
        self._identity = identity

    def call(self, command: RpcCommand, ctx: Caller | None, arguments: dict[str, Any]) -> Any:
        """Execute one command.

        :param ctx: None for a command of this host itself.
        :param arguments: what :meth:`RpcCommand.encode_arguments` returned.
        :returns: what the method of the port returned on the registry.
        :raises errors.GlanceError: what the method raised there.
        :raises errors.NotAuthenticated: the caller's token is not valid.
        :raises errors.DatabaseUnavailable: the registry cannot be reached or does not accept this
            host; nothing was executed.
        :raises errors.OutcomeUnknown: the answer to a write was lost twice.
        """
        if not command.needs_idempotency_key:
            body = protocol.dump_request(command, arguments)
            return self._send(command, ctx, body, is_repeatable=True)
        body = protocol.dump_request(command, arguments, uuid.uuid4().hex)
        try:
            return self._send(command, ctx, body, is_repeatable=False)
        except errors.OutcomeUnknown:
            LOG.info("The outcome of %s is unknown; it is sent again", command.name)
        try:
            return self._send(command, ctx, body, is_repeatable=False)
        except (errors.DatabaseUnavailable, errors.NotAuthenticated) as error:
            # The registry did not execute this one, but it may have executed the first.
            raise errors.OutcomeUnknown() from error

    def _send(
        self, command: RpcCommand, ctx: Caller | None, body: bytes, is_repeatable: bool
    ) -> Any:
        status, answer = self._post(ctx, body, is_repeatable)
        if status in (401, 403) and self._identity.refresh():
            # Nothing was executed; the token of this host may have expired.
            status, answer = self._post(ctx, body, is_repeatable)
        if status == 401 and not is_service_account(ctx):
            raise errors.NotAuthenticated()
        if status != 200:
            LOG.error("The registry answered %s: %s", status, answer[:200].decode(errors="replace"))
            if status >= 500 and not is_repeatable:
                # A proxy may have sent it, after it lost the answer of the registry.
                raise errors.OutcomeUnknown()
            raise errors.DatabaseUnavailable()
        try:
            return protocol.load_response(command, answer)
        except DecodeError as error:
            LOG.error("The answer of the registry to %s is not valid: %s", command.name, error)
            raise (
                errors.DatabaseUnavailable() if is_repeatable else errors.OutcomeUnknown()
            ) from error

    def _post(self, ctx: Caller | None, body: bytes, is_repeatable: bool) -> tuple[int, bytes]:
        headers = self._identity.headers(ctx)
        headers["Content-Type"] = protocol.JSON
        if ctx is not None and ctx.request_id:
            headers["X-Openstack-Request-Id"] = ctx.request_id[:_MAX_REQUEST_ID_LENGTH]
        return self._connection.post(body, headers, is_repeatable)
