"""The registry: a WSGI application that executes commands, ``POST /rpc``, on its database.

It is the innermost application of a pipeline; the middleware has authenticated the caller.  All
commands of a request are decoded before the first is executed.  Errors are sent by the name of
their class; an unexpected exception is logged and sent as a plain GlanceError.  A process keeps no
state between two requests: the results of writes with an idempotency key are in the database.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.ports import Repositories
from glance_py.registry import authorization, protocol
from glance_py.registry.codec import DecodeError
from glance_py.registry.protocol import Outcome, RpcCall, UnknownCommand

LOG = logging.getLogger(__name__)

#: Most bytes of a request.  A request to the API may cause a command of this size.
MAX_BODY = 64 * 1024 * 1024
#: Most commands of a request.
MAX_COMMANDS = 1000

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
}


class RequestError(Exception):
    """A request that is refused as a whole.

    :param status: the HTTP status of the answer.
    :param message: the text of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class Registry:
    """The WSGI application; built once per process.  Safe in threads."""

    def __init__(self, repositories: Repositories) -> None:
        self._commands = authorization.authorized_commands(repositories)
        self._run_once = repositories.once

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            status, body = 200, self._handle(environ)
        except RequestError as error:
            status = error.status
            body = protocol.dump_response([{"message": error.message}])
        headers = [("Content-Type", protocol.JSON), ("Content-Length", str(len(body)))]
        if status == 405:
            headers.append(("Allow", "POST"))
        start_response(f"{status} {_REASONS[status]}", headers)
        return [body]

    def _handle(self, environ: WSGIEnvironment) -> bytes:
        if environ.get("PATH_INFO", "").rstrip("/") != protocol.PATH:
            raise RequestError(404, "There is nothing but /rpc here.")
        if environ["REQUEST_METHOD"] != "POST":
            raise RequestError(405, "Commands come by POST.")
        ctx: Caller | None = environ.get("glance.context")
        if ctx is None or not authorization.is_api_host(ctx):
            LOG.warning(
                "Refused a request without a service token, from %s",
                environ.get("REMOTE_ADDR", "-"),
            )
            raise RequestError(403, "Requests come from API hosts, with the token of the service.")
        try:
            calls = protocol.load_request(_body(environ))
        except UnknownCommand as error:
            raise RequestError(404, str(error)) from None
        except DecodeError as error:
            raise RequestError(400, str(error)) from None
        if len(calls) > MAX_COMMANDS:
            raise RequestError(413, f"A request may hold {MAX_COMMANDS} commands.")
        return protocol.dump_response([self._run(ctx, call) for call in calls])

    def _run(self, ctx: Caller, call: RpcCall) -> Outcome:
        command, function = call.command, self._commands[call.command.name]
        try:
            if ctx.read_only and not command.is_read:
                raise errors.Forbidden("Read-only access: this needs authentication.")
            if call.digest is None or self._run_once is None or not command.needs_idempotency_key:
                return protocol.encode_result(command, function(ctx, **call.arguments))
            return protocol.stored_result(
                self._run_once(
                    _key(ctx, call.digest),
                    lambda: protocol.dump_result(command, function(ctx, **call.arguments)),
                )
            )
        except errors.GlanceError as error:
            return protocol.encode_error(error)
        except Exception:
            LOG.exception("%s failed", command.name)
            return protocol.encode_error(
                errors.GlanceError(
                    f"The registry could not do {command.name} because of an error of its own."
                )
            )


def _key(ctx: Caller, digest: bytes) -> str:
    """The idempotency key in the database: different for every caller, hexadecimal."""
    caller = f"{ctx.user_id}\0{ctx.project_id}\0{bool(ctx.is_admin)}\0".encode()
    return hashlib.sha256(caller + digest).hexdigest()


def _body(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isascii() or not length.isdigit():
        raise RequestError(411, "A request needs its Content-Length.")
    if len(length) > 9 or int(length) > MAX_BODY:
        raise RequestError(413, f"A request may have {MAX_BODY} bytes.")
    body: bytes = environ["wsgi.input"].read(int(length))
    if len(body) != int(length):
        raise RequestError(400, "The body is shorter than announced.")
    return body
