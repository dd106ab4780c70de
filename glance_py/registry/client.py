"""The records of the service as a registry has them: the ports of the DAL over HTTP.

One call is one request; callers whose question makes no sense to the registry
get the errors that a database would have given them.  Whether a caller may ask
is judged on both sides.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.ports import Repositories
from glance_py.registry import protocol
from glance_py.registry.connection import RegistryConnection
from glance_py.registry.identity import IdentityHeaders, KeystoneTokens, is_service_account
from glance_py.registry.protocol import DecodeError, RpcCommand

LOG = logging.getLogger(__name__)

#: The longest request id that a registry takes unless told otherwise.
_MAX_REQUEST_ID_LENGTH = 64


class RegistryClient:
    """Asks a registry.

    :param connection: has ``post`` (see ``connection.RegistryConnection``).
    :param identity: has ``headers`` and ``refresh`` (see ``identity``).
    """

    def __init__(self, connection: Any, identity: Any) -> None:
        self._connection = connection
        self._identity = identity

    def call(self, command: RpcCommand, ctx: Caller | None, arguments: dict[str, Any]) -> Any:
        """Have one command done for ``ctx``, None being this host itself.

        :returns: what the method of the port returns.
        :raises errors.GlanceError: what it raises.
        """
        [outcome] = self.call_batch(ctx, [(command, arguments)])
        if isinstance(outcome, errors.GlanceError):
            raise outcome
        return outcome

    def call_batch(
        self, ctx: Caller | None, calls: Sequence[tuple[RpcCommand, dict[str, Any]]]
    ) -> list[Any]:
        """Have several commands done, one after the other, in one request.

        A write whose answer was lost is asked for once more, in a way that lets the registry
        know it again.

        :returns: what each returned; an error stands in its place.
        :raises errors.NotAuthenticated: the caller's token is not accepted.
        :raises errors.DatabaseUnavailable: the registry is away, or does not know this host.
        :raises errors.OutcomeUnknown: the answer to writes was lost, and they may be done.
        """
        if not any(command.needs_idempotency_key for command, _ in calls):
            return self._send(ctx, calls, protocol.dump_request(calls), is_repeatable=True)
        body = protocol.dump_request(calls, uuid.uuid4().hex)
        try:
            outcomes = self._send(ctx, calls, body, is_repeatable=False)
            if not any(isinstance(each, errors.OutcomeUnknown) for each in outcomes):
                return outcomes
        except errors.OutcomeUnknown:
            pass
        LOG.info("The outcome of a change is unknown; the registry is asked again")
        try:
            return self._send(ctx, calls, body, is_repeatable=False)
        except (errors.DatabaseUnavailable, errors.NotAuthenticated) as error:
            # What became of the first request is still not known.
            raise errors.OutcomeUnknown() from error

    def _send(
        self,
        ctx: Caller | None,
        calls: Sequence[tuple[RpcCommand, dict[str, Any]]],
        body: bytes,
        is_repeatable: bool,
    ) -> list[Any]:
        """:param is_repeatable: does it do no harm when it is done twice?"""
        status, answer = self._post(ctx, body, is_repeatable)
        if status in (401, 403) and self._identity.refresh():
            # Nothing was done: it may be this host's token that is old.
            status, answer = self._post(ctx, body, is_repeatable)
        if status == 401 and not is_service_account(ctx):
            raise errors.NotAuthenticated()
        if status != 200:
            LOG.error("The registry answered %s: %s", status, answer[:200].decode(errors="replace"))
            if status >= 500 and not is_repeatable:
                # Perhaps a proxy's, which lost the registry's answer.
                raise errors.OutcomeUnknown()
            raise errors.DatabaseUnavailable()
        try:
            return protocol.load_response([command for command, _ in calls], answer)
        except DecodeError as error:
            LOG.error("The registry gave no answer that makes sense: %s", error)
            raise (
                errors.DatabaseUnavailable() if is_repeatable else errors.OutcomeUnknown()
            ) from error

    def _post(self, ctx: Caller | None, body: bytes, is_repeatable: bool) -> tuple[int, bytes]:
        headers = self._identity.headers(ctx)
        headers["Content-Type"] = protocol.JSON
        if ctx is not None and ctx.request_id:
            headers["X-Openstack-Request-Id"] = ctx.request_id[:_MAX_REQUEST_ID_LENGTH]
        return self._connection.post(body, headers, is_repeatable)


class RemoteRepository:
    """One port: a method for each of its commands and nothing else."""

    def __init__(self, client: RegistryClient, name: str) -> None:
        for command in protocol.COMMANDS.values():
            port, _, operation = command.name.partition(".")
            if port == name and operation:
                setattr(self, operation, _method(client, command))


def _method(client: RegistryClient, command: RpcCommand) -> Callable[..., Any]:
    if command.takes_context:
        return lambda ctx, *args, **kwargs: client.call(
            command, ctx, command.encode_arguments(args, kwargs)
        )
    return lambda *args, **kwargs: client.call(
        command, None, command.encode_arguments(args, kwargs)
    )


def remote_repositories(conf: Any, connection: Any = None) -> Repositories:
    """The records behind the registry that the options name; it is not spoken with yet.

    :param conf: an oslo.config ConfigOpts.
    :param connection: another way to the registry than the options name.
    :raises ValueError: an option is wrong.
    """
    identity = IdentityHeaders(conf) if conf.send_identity_headers else KeystoneTokens(conf)
    return _connect_repositories(connection or RegistryConnection(conf), identity)


def _connect_repositories(connection: Any, identity: Any) -> Repositories:
    client = RegistryClient(connection, identity)
    ports = {name: cast(Any, RemoteRepository(client, name)) for name in protocol.PORTS}
    return Repositories(
        **ports,
        ping=lambda: client.call(protocol.COMMANDS["ping"], None, {}),
        for_heartbeats=lambda: _connect_repositories(connection.for_heartbeats(), identity),
    )
