"""The protocol between API host and registry: commands, and requests and responses as JSON.

The commands are the methods of the DAL's ports, derived from their signatures.  Arguments and
results are values of the domain (``codec.py``).  An error is sent as the name of its class and
its arguments.  Names that the peer sends are looked up in the tables of this module only.

A request is a list of commands, a response the list of their outcomes in the same order.
:mod:`glance_py.registry.client` sends one command in a request.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, get_type_hints

import orjson

from glance_py.domain import errors, ports
from glance_py.domain.quota import RESOURCES
from glance_py.domain.task import Task
from glance_py.registry import codec
from glance_py.registry.codec import DecodeError, TypeHint

PATH = "/rpc"
JSON = "application/json"

#: Field of :class:`~glance_py.domain.ports.Repositories` -> its port.
PORTS: Mapping[str, type] = {
    "images": ports.ImageRepository,
    "members": ports.MemberRepository,
    "tasks": ports.TaskRepository,
    "claims": ports.ClaimRepository,
    "usage": ports.UsageRepository,
    "namespaces": ports.NamespaceOperations,
    "definitions": ports.DefinitionOperations,
    "cached_images": ports.CachedImageRepository,
    "pending": ports.PendingRepository,
}

#: Commands that change nothing.  They may be repeated, and callers who are ``read_only`` may
#: send them.
READ_COMMANDS = frozenset(
    {
        "ping",
        "images.get",
        "images.list",
        "members.find",
        "tasks.get",
        "tasks.list",
        "tasks.list_for_image",
        "claims.held",
        "claims.unclaimed",
        "claims.get",
        *(f"usage.{resource}" for resource in RESOURCES),
        "namespaces.get",
        "namespaces.resolve",
        "namespaces.list",
        "namespaces.resource_types",
        "definitions.list",
        "definitions.get",
        "cached_images.entries",
        "cached_images.nodes",
        "pending.find",
        "pending.is_shared",
        "pending.statuses_at",
        "pending.any_exist",
    }
)

#: Writes that have the same effect when they are executed twice.
IDEMPOTENT_COMMANDS = frozenset(
    {
        "claims.beat",
        "claims.finish",
        "cached_images.get_or_create_node",
        "cached_images.add",
        "cached_images.hit",
        "cached_images.remove",
        "cached_images.import_entries",
        "pending.mark_deleted",
        "pending.begin_removal",
        "pending.cancel_removal",
    }
)

#: Valid lengths of an idempotency key, in characters.
KEY_LENGTHS = range(16, 65)


@dataclasses.dataclass(frozen=True)
class RpcCommand:
    """One method of a port.

    name
        Field of ``Repositories`` and method: ``images.get``.
    parameters
        Name -> type hint, in the order of the signature, without the caller.
    required
        The names of the parameters without a default.
    result
        The type hint of what the method returns.
    takes_context
        True when the first argument of the method is the caller.
    kwargs_parameter
        The name of the method's ``**`` parameter, whose values are fields of a task; None when it
        has no such parameter.
    """

    name: str
    parameters: Mapping[str, TypeHint]
    required: frozenset[str]
    result: TypeHint
    takes_context: bool
    kwargs_parameter: str | None = None

    @property
    def is_read(self) -> bool:
        """True when the command changes nothing."""
        return self.name in READ_COMMANDS

    @property
    def needs_idempotency_key(self) -> bool:
        """True when the registry must not execute a repeated request a second time."""
        return not self.is_read and self.name not in IDEMPOTENT_COMMANDS

    def encode_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call of the method, by name, as values for :func:`dump_request`.

        :param args: the positional arguments, without the caller.
        :param kwargs: the keyword arguments.
        """
        given = dict(zip(self.parameters, args, strict=False))
        if self.kwargs_parameter is None:
            given.update(kwargs)
        else:
            given[self.kwargs_parameter] = dict(kwargs)
        return {name: codec.encode(self.parameters[name], value) for name, value in given.items()}

    def decode_arguments(self, kwargs: object) -> dict[str, Any]:
        """The keyword arguments for the method, from the parsed JSON of a request.

        :raises DecodeError: an argument is unknown, missing or of another type.
        """
        if not isinstance(kwargs, dict):
            raise DecodeError(f"The kwargs of {self.name} must be an object.")
        unknown = kwargs.keys() - self.parameters.keys()
        if unknown:
            raise DecodeError(f"{self.name} has no argument {min(unknown)!r}.")
        missing = self.required - kwargs.keys()
        if missing:
            raise DecodeError(f"{self.name} needs the argument {min(missing)!r}.")
        checked = {}
        for name, value in kwargs.items():
            try:
                checked[name] = codec.decode(self.parameters[name], value, strict=True)
            except DecodeError as error:
                raise DecodeError(f"{self.name}, {name}: {error}") from None
        if self.kwargs_parameter is not None:
            checked.update(checked.pop(self.kwargs_parameter))
        return checked


def _command(name: str, method: Callable[..., Any]) -> RpcCommand:
    hints = get_type_hints(method)
    result = hints.pop("return")
    parameters: dict[str, TypeHint] = {}
    required, kwargs_parameter = set(), None
    signature = inspect.signature(method).parameters
    for each in list(signature.values())[1:]:
        if each.name == "ctx":
            continue
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            kwargs_parameter, parameters[each.name] = each.name, codec.PartialOf(Task)
        else:
            parameters[each.name] = hints[each.name]
        if each.default is inspect.Parameter.empty:
            required.add(each.name)
    return RpcCommand(
        name, parameters, frozenset(required), result, "ctx" in signature, kwargs_parameter
    )


#: Answers the health check of the registry's database.
PING = RpcCommand("ping", {}, frozenset(), type(None), takes_context=False)

#: Method of a port -> its command.
BY_METHOD: Mapping[Callable[..., Any], RpcCommand] = {
    method: _command(f"{port_name}.{operation}", method)
    for port_name, port in PORTS.items()
    for operation, method in vars(port).items()
    if inspect.isfunction(method) and not operation.startswith("_")
}

#: Name -> command.
COMMANDS: Mapping[str, RpcCommand] = {
    command.name: command for command in (*BY_METHOD.values(), PING)
}


def _subclasses(of: type[errors.GlanceError]) -> Iterator[type[errors.GlanceError]]:
    yield of
    for each in of.__subclasses__():
        yield from _subclasses(each)


#: Name -> error class; only errors of the domain.
ERRORS: Mapping[str, type[errors.GlanceError]] = {
    each.__name__: each
    for each in _subclasses(errors.GlanceError)
    if each.__module__ == errors.__name__
}


#: The outcome of one command in a response.
Outcome: TypeAlias = Mapping[str, Any] | orjson.Fragment


class UnknownCommand(DecodeError):
    """A request names a command that does not exist."""


@dataclasses.dataclass(frozen=True)
class RpcCall:
    """One command of a request, decoded.

    digest
        SHA-256 of the command with its arguments and its idempotency key: equal for a repetition
        of the request, different for every other request.  None when the command has no key.
    """

    command: RpcCommand
    arguments: dict[str, Any]
    digest: bytes | None = None


def dump_request(
    command: RpcCommand, arguments: Mapping[str, Any], key: str | None = None
) -> bytes:
    """The body of a request with one command.

    :param arguments: what :meth:`RpcCommand.encode_arguments` returned.
    :param key: random text that is different for every request, with a length in KEY_LENGTHS.  The
        registry executes requests with the same body and key once.
    :raises errors.Invalid: a value cannot be encoded, for example an integer of more than 64 bits
        or a lone surrogate.
    """
    keys = {} if key is None else {"key": key}
    return _dump_json([{"command": command.name, "kwargs": arguments, **keys}])


def load_request(body: bytes) -> list[RpcCall]:
    """The commands of a request; all of them are decoded before the first is executed.

    :raises UnknownCommand: a command does not exist.
    :raises DecodeError: the body is not a valid request.
    """
    calls = []
    document = _load_json(body)
    if not isinstance(document, list):
        raise DecodeError("The body must be a list of commands.")
    for entry in document:
        if not isinstance(entry, dict) or not isinstance(entry.get("command"), str):
            raise DecodeError('A command must be an object with the name "command".')
        if entry.keys() - {"command", "kwargs", "key"}:
            raise DecodeError('A command has a "command", "kwargs" and a "key", and nothing else.')
        command = COMMANDS.get(entry["command"])
        if command is None:
            raise UnknownCommand(f"There is no command {entry['command'][:64]!r}.")
        calls.append(
            RpcCall(command, command.decode_arguments(entry.get("kwargs", {})), _digest(entry))
        )
    return calls


def _digest(entry: dict[str, Any]) -> bytes | None:
    key = entry.get("key")
    if key is None:
        return None
    if not isinstance(key, str) or len(key) not in KEY_LENGTHS:
        raise DecodeError(f"A key has {KEY_LENGTHS.start} to {KEY_LENGTHS.stop - 1} characters.")
    return hashlib.sha256(orjson.dumps(entry)).digest()


def encode_result(command: RpcCommand, result: Any) -> dict[str, Any]:
    """The outcome of a command that returned ``result``, for :func:`dump_response`."""
    return {"result": codec.encode(command.result, result)}


def dump_result(command: RpcCommand, result: Any) -> bytes:
    """The same as bytes, which are stored under an idempotency key."""
    return _dump_json(encode_result(command, result))


def stored_result(stored: bytes) -> orjson.Fragment:
    """The outcome that :func:`dump_result` encoded, for :func:`dump_response`."""
    return orjson.Fragment(stored)


def encode_error(error: errors.GlanceError) -> dict[str, Any]:
    """The outcome of a command that raised ``error``, for :func:`dump_response`."""
    args = [value if isinstance(value, str | int | None) else str(value) for value in error.args]
    return {"error": {"class": type(error).__name__, "args": args}}


def dump_response(outcomes: Sequence[Outcome]) -> bytes:
    """The body of a response, with one outcome for each command of the request."""
    return _dump_json(outcomes)


def load_response(command: RpcCommand, body: bytes) -> Any:
    """What the method of ``command``, the only one of its request, returned on the registry.

    :raises errors.GlanceError: what the method raised there; the base class itself for an error
        that this release does not know.
    :raises DecodeError: the body is not a response to such a request.
    """
    match _load_json(body):
        case [{"result": result}]:
            return codec.decode(command.result, result)
        case [{"error": {"class": str(name), "args": [*args]}}]:
            raise ERRORS.get(name, errors.GlanceError)(*args)
        case _:
            raise DecodeError(f"The answer to {command.name} is neither a result nor an error.")


def _dump_json(document: object) -> bytes:
    try:
        return orjson.dumps(document, default=codec.encode_default)
    except TypeError:
        raise errors.Invalid(
            "A value is out of range or holds characters that cannot be stored."
        ) from None


def _load_json(body: bytes) -> object:
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise DecodeError("The body is not JSON.") from None
    return document
