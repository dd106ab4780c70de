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
from glance_py.registry.connection import Connection
from glance_py.registry.identity import IdentityHeaders, Tokens, is_own_account
from glance_py.registry.protocol import Command, Malformed

LOG = logging.getLogger(__name__)

#: The longest request id that a registry takes unless told otherwise.
_LONGEST_ID = 64


class Client:
    """Asks a registry.

    :param connection: has ``post`` (see :class:`~glance_py.registry.connection.Connection`).
    :param identity: has ``headers`` and ``renew`` (see ``identity``).
    """

    def __init__(self, connection: Any, identity: Any) -> None:
        self._connection = connection
        self._identity = identity

    def call(self, command: Command, ctx: Caller | None, arguments: dict[str, Any]) -> Any:
        """Have one command done for ``ctx``, None being this host itself.

        :returns: what the method of the port returns.
        :raises errors.GlanceError: what it raises.
        """
        [outcome] = self.call_all(ctx, [(command, arguments)])
        if isinstance(outcome, errors.GlanceError):
            raise outcome
        return outcome

    def call_all(
        self, ctx: Caller | None, calls: Sequence[tuple[Command, dict[str, Any]]]
    ) -> list[Any]:
        """Have several commands done, one after the other, in one request.

        A write whose answer was lost is asked for once more, in a way that lets the registry
        know it again.

        :returns: what each returned; an error stands in its place.
        :raises errors.NotAuthenticated: the caller's token is not accepted.
        :raises errors.DatabaseUnavailable: the registry is away, or does not know this host.
        :raises errors.OutcomeUnknown: the answer to writes was lost, and they may be done.
        """
        if not any(command.needs_key for command, _ in calls):
            return self._ask(ctx, calls, protocol.dump_request(calls), again=True)
        body = protocol.dump_request(calls, uuid.uuid4().hex)
        try:
            outcomes = self._ask(ctx, calls, body, again=False)
            if not any(isinstance(each, errors.OutcomeUnknown) for each in outcomes):
                return outcomes
        except errors.OutcomeUnknown:
            pass
        LOG.info("The outcome of a change is unknown; the registry is asked again")
        try:
            return self._ask(ctx, calls, body, again=False)
        except (errors.DatabaseUnavailable, errors.NotAuthenticated) as error:
            # What became of the first request is still not known.
            raise errors.OutcomeUnknown() from error

    def _ask(
        self,
        ctx: Caller | None,
        calls: Sequence[tuple[Command, dict[str, Any]]],
        body: bytes,
        again: bool,
    ) -> list[Any]:
        """:param again: does it do no harm when it is done twice?"""
        status, answer = self._post(ctx, body, again)
        if status in (401, 403) and self._identity.renew():
            # Nothing was done: it may be this host's token that is old.
            status, answer = self._post(ctx, body, again)
        if status == 401 and not is_own_account(ctx):
            raise errors.NotAuthenticated()
        if status != 200:
            LOG.error("The registry answered %s: %s", status, answer[:200].decode(errors="replace"))
            if status >= 500 and not again:
                # Perhaps a proxy's, which lost the registry's answer.
                raise errors.OutcomeUnknown()
            raise errors.DatabaseUnavailable()
        try:
            return protocol.load_response([command for command, _ in calls], answer)
        except Malformed as error:
            LOG.error("The registry gave no answer that makes sense: %s", error)
            raise (errors.DatabaseUnavailable() if again else errors.OutcomeUnknown()) from error

    def _post(self, ctx: Caller | None, body: bytes, again: bool) -> tuple[int, bytes]:
        headers = self._identity.headers(ctx)
        headers["Content-Type"] = protocol.JSON
        if ctx is not None and ctx.request_id:
            headers["X-Openstack-Request-Id"] = ctx.request_id[:_LONGEST_ID]
        return self._connection.post(body, headers, again)


class Room:
    """One port: a method for each of its commands and nothing else."""

    def __init__(self, client: Client, name: str) -> None:
        for command in protocol.COMMANDS.values():
            room, _, operation = command.name.partition(".")
            if room == name and operation:
                setattr(self, operation, _method(client, command))


def _method(client: Client, command: Command) -> Callable[..., Any]:
    if command.for_caller:
        return lambda ctx, *args, **kwargs: client.call(
            command, ctx, command.arguments(args, kwargs)
        )
    return lambda *args, **kwargs: client.call(command, None, command.arguments(args, kwargs))


def remote_repositories(conf: Any, connection: Any = None) -> Repositories:
    """The records behind the registry that the options name; it is not spoken with yet.

    :param conf: an oslo.config ConfigOpts.
    :param connection: another way to the registry than the options name.
    :raises ValueError: an option is wrong.
    """
    identity = IdentityHeaders(conf) if conf.send_identity_headers else Tokens(conf)
    return _over(connection or Connection(conf), identity)


def _over(connection: Any, identity: Any) -> Repositories:
    client = Client(connection, identity)
    rooms = {name: cast(Any, Room(client, name)) for name in protocol.PORTS}
    return Repositories(
        **rooms,
        ping=lambda: client.call(protocol.COMMANDS["ping"], None, {}),
        for_heartbeats=lambda: _over(connection.for_heartbeats(), identity),
    )
