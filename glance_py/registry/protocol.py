"""What client and registry say to each other: which commands, in which JSON.

The commands are the methods of the DAL's ports, the values are those of the
domain, and errors go by class name and arguments.  Nothing that the other side
names is imported or looked up outside of what stands here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, get_type_hints

import orjson

from glance_py.domain import errors, ports
from glance_py.domain.quota import RESOURCES
from glance_py.domain.task import Task
from glance_py.registry import codec
from glance_py.registry.codec import DecodeError

PATH = "/rpc"
JSON = "application/json"

#: The rooms of the records and their ports.
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

#: Commands that change nothing: they may be sent again, and by callers who may only look.
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

#: Writes that do no harm when they are done twice.
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

#: Characters of a key.
KEY_LENGTHS = range(16, 65)


@dataclasses.dataclass(frozen=True)
class RpcCommand:
    """One method of a port.

    parameters
        Their types by name, in order, without the caller.
    required
        Those that have no default.
    takes_context
        Is the caller the method's first argument?
    kwargs_parameter
        The parameter that stands for any fields of a task, None when there is none.
    """

    name: str
    parameters: Mapping[str, Any]
    required: frozenset[str]
    result: Any
    takes_context: bool
    kwargs_parameter: str | None = None

    @property
    def is_read(self) -> bool:
        return self.name in READ_COMMANDS

    @property
    def needs_idempotency_key(self) -> bool:
        """Must a repeated call of it be known as such?"""
        return not self.is_read and self.name not in IDEMPOTENT_COMMANDS

    def encode_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call of the method, ready for JSON, by name."""
        given = dict(zip(self.parameters, args, strict=False))
        if self.kwargs_parameter is None:
            given.update(kwargs)
        else:
            given[self.kwargs_parameter] = dict(kwargs)
        return {name: codec.encode(self.parameters[name], value) for name, value in given.items()}

    def decode_arguments(self, kwargs: Any) -> dict[str, Any]:
        """The arguments that came as JSON.

        :raises DecodeError: they are not those of this command.
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


def _command(name: str, method: Callable) -> RpcCommand:
    hints = get_type_hints(method)
    result = hints.pop("return")
    parameters: dict[str, Any] = {}
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


def _commands() -> Iterator[RpcCommand]:
    for port_name, port in PORTS.items():
        for operation, method in vars(port).items():
            if inspect.isfunction(method) and not operation.startswith("_"):
                yield _command(f"{port_name}.{operation}", method)
    yield RpcCommand("ping", {}, frozenset(), type(None), takes_context=False)


#: Every command by its name.
COMMANDS: Mapping[str, RpcCommand] = {command.name: command for command in _commands()}


def _subclasses(of: type[errors.GlanceError]) -> Iterator[type[errors.GlanceError]]:
    yield of
    for each in of.__subclasses__():
        yield from _subclasses(each)


#: Errors by name: those of the domain and no others.
ERRORS: Mapping[str, type[errors.GlanceError]] = {
    each.__name__: each
    for each in _subclasses(errors.GlanceError)
    if each.__module__ == errors.__name__
}


class UnknownCommand(DecodeError):
    """There is no such command here."""


@dataclasses.dataclass(frozen=True)
class RpcCall:
    """One command of a request.

    digest
        Of the whole command with its key: the same when the client repeats it, and
        no other.  None when it has no key.
    """

    command: RpcCommand
    arguments: dict[str, Any]
    digest: bytes | None = None


def dump_request(
    calls: Iterable[tuple[RpcCommand, Mapping[str, Any]]], key: str | None = None
) -> bytes:
    """The body of a request; arguments are those of :meth:`RpcCommand.encode_arguments`.

    :param key: random text that no other request has.  A request that is repeated with the
        same key, byte by byte, is done once.
    :raises errors.Invalid: a value cannot be written as JSON.
    """
    return _dump_json(
        [
            {
                "command": command.name,
                "kwargs": kwargs,
                **({"key": f"{key}-{number}"} if key and command.needs_idempotency_key else {}),
            }
            for number, (command, kwargs) in enumerate(calls)
        ]
    )


def load_request(body: bytes) -> list[RpcCall]:
    """Every command of a request, all of them checked.

    :raises UnknownCommand: a command does not exist.
    :raises DecodeError: the body is something else.
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
    """What a command returned, as a part of :func:`dump_response`."""
    return {"result": codec.encode(command.result, result)}


def dump_result(command: RpcCommand, result: Any) -> bytes:
    """What a command returned, to be kept."""
    return _dump_json(encode_result(command, result))


def stored_result(stored: bytes) -> orjson.Fragment:
    """What :func:`dump_result` made, as a part of :func:`dump_response`."""
    return orjson.Fragment(stored)


def encode_error(error: errors.GlanceError) -> dict[str, Any]:
    """What a command raised, as a part of :func:`dump_response`."""
    args = [each if isinstance(each, str | int | None) else str(each) for each in error.args]
    return {"error": {"class": type(error).__name__, "args": args}}


def dump_response(results: Sequence[dict[str, Any] | orjson.Fragment]) -> bytes:
    """The body of a response, one part for each command."""
    return _dump_json(results)


def load_response(commands: Sequence[RpcCommand], body: bytes) -> list[Any]:
    """What each command returned; an error stands in its place as an exception.

    :raises DecodeError: the body is something else.
    """
    document = _load_json(body)
    if not isinstance(document, list) or len(document) != len(commands):
        raise DecodeError("The answer is not a list with one result for each command.")
    return [_decode_result(*each) for each in zip(commands, document, strict=True)]


def _decode_result(command: RpcCommand, part: Any) -> Any:
    if isinstance(part, dict) and "result" in part:
        return codec.decode(command.result, part["result"])
    try:
        name, args = part["error"]["class"], part["error"]["args"]
        return ERRORS.get(name, errors.GlanceError)(*args)
    except (KeyError, TypeError):
        raise DecodeError(
            f"The answer to {command.name} is neither a result nor an error."
        ) from None


def _dump_json(document: Any) -> bytes:
    try:
        return orjson.dumps(document, default=codec.encode_default)
    except TypeError:
        raise errors.Invalid(
            "A value is out of range or holds characters that cannot be stored."
        ) from None


def _load_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise DecodeError("The body is not JSON.") from None
