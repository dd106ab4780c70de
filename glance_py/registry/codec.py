"""Values of the domain as JSON and back, led by their type hints.

A dataclass is an object of its fields, a datetime is its ISO form, a kind of
metadata definitions is its noun.  Only types that the ports name are made; which
type is made is decided by the hint, never by what came.  Writing is orjson's,
as far as it knows the types.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.metadef import KINDS, Definition, Kind, Namespace, NamespacePage, ResourceType
from glance_py.domain.query import Filter, ImageQuery

Decoder = Callable[[Any], Any]

_ALL_KINDS: tuple[Kind, ...] = (*KINDS, ResourceType)
_KINDS: Mapping[str, Kind] = {kind.noun: kind for kind in _ALL_KINDS}


class DecodeError(ValueError):
    """JSON of another form; the text says where, without the values."""


@dataclasses.dataclass(frozen=True)
class PartialOf:
    """The hint for an object that holds some fields of a dataclass."""

    cls: type


# --- To JSON ---------------------------------------------------------------------------------


def encode(hint: Any, value: Any) -> Any:
    """``value`` as far as orjson needs help with it; see :func:`encode_default` for the rest."""
    encoder = _encoder(hint)
    return value if encoder is None or value is None else encoder(value)


def encode_default(value: Any) -> Any:
    """For orjson: what it cannot write by itself.

    :raises TypeError: neither can we.
    """
    if isinstance(value, type) and issubclass(value, Definition):
        return value.noun
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


@functools.cache
def _encoder(hint: Any) -> Callable[[Any], Any] | None:
    """None: orjson writes such values itself."""
    if isinstance(hint, TypeVar) or hint is Definition:
        return _encode_definition
    if hint is Namespace:
        return _encode_namespace
    if hint is ImageQuery:
        return _encode_query
    if hint is NamespacePage:
        return lambda page: {
            "namespaces": [_encode_namespace(each) for each in page.namespaces],
            "full": page.full,
        }
    if get_origin(hint) in (list, Sequence):
        inner = _encoder(get_args(hint)[0])
        if inner is not None:
            return lambda those: [inner(each) for each in those]
    return None


def _encode_query(query: ImageQuery) -> ImageQuery:
    """The same with numbers that orjson can write: a larger one compares like the largest."""
    return dataclasses.replace(
        query,
        filters=tuple(
            dataclasses.replace(each, value=min(max(each.value, -(2**63)), 2**64 - 1))
            if type(each.value) is int
            else each
            for each in query.filters
        ),
    )


def _encode_definition(definition: Definition) -> list[Any]:
    return [type(definition).noun, definition]


def _encode_namespace(namespace: Namespace) -> dict[str, Any]:
    fields = {each.name: getattr(namespace, each.name) for each in dataclasses.fields(Namespace)}
    return {**fields, "contents": {kind.noun: those for kind, those in namespace.contents.items()}}


# --- From JSON -------------------------------------------------------------------------------


def decode(hint: Any, value: Any, strict: bool = False) -> Any:
    """The value of type ``hint`` that ``value``, read from JSON, stands for.

    :param strict: look at every value, and refuse fields that are not known; without
        it the other side is believed, and may be newer.
    :raises DecodeError: it stands for no such value.
    """
    return _decoder(hint, strict)(value)


def _identity(value: Any) -> Any:
    return value


@functools.cache
def _decoder(hint: Any, strict: bool) -> Decoder:  # noqa: C901 - one line for each kind of hint
    special = _SPECIAL.get(hint) if isinstance(hint, type) else None
    if special is not None:
        return special(strict)
    if hint is Any or hint is object:
        return _identity
    if isinstance(hint, PartialOf):
        return _decode_partial(hint.cls, strict)
    if isinstance(hint, TypeVar) or hint is Definition:
        return _decode_definition(strict)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _decode_dataclass(hint, strict)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _decode_optional(
            _decoder(next(each for each in inner if each is not type(None)), strict)
        )
    if origin is type:
        return _decode_kind
    if origin is tuple and (len(inner) != 2 or inner[1] is not Ellipsis):
        return _decode_fixed_list(tuple(_decoder(each, strict) for each in inner))
    if origin in _LISTS:
        return _decode_list(_LISTS[origin], _decoder(inner[0], strict))
    if hint in (dict, Mapping) or origin in (dict, Mapping):
        return _decode_mapping(inner[1] if inner else Any, strict)
    return _decode_scalar(hint) if strict else _identity


#: What a JSON list becomes.
_LISTS: Mapping[Any, Callable[[Iterable], Any]] = {
    list: list,
    Sequence: list,
    Collection: list,
    Iterable: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
}


def _decode_scalar(hint: Any) -> Decoder:
    allowed = (int, float) if hint is float else (hint,)

    def decode(value: Any) -> Any:
        # Old rows may lack what has a value today.  bool is an int for isinstance, not in JSON.
        if value is not None and type(value) not in allowed:
            raise DecodeError(f"not of type {hint.__name__}")
        return value

    return decode


def _decode_optional(inner: Decoder) -> Decoder:
    return (
        _identity if inner is _identity else lambda value: None if value is None else inner(value)
    )


def _decode_list(make: Callable[[Iterable], Any], inner: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not list:
            raise DecodeError("not a list")
        if inner is _identity:
            return value if make is list else make(value)
        return make([inner(each) for each in value])

    return decode


def _decode_fixed_list(inner: tuple[Decoder, ...]) -> Decoder:
    def decode(value: Any) -> tuple:
        if type(value) is not list or len(value) != len(inner):
            raise DecodeError(f"not a list of {len(inner)}")
        return tuple(each(part) for each, part in zip(inner, value, strict=True))

    return decode


def _decode_mapping(hint: Any, strict: bool) -> Decoder:
    inner = _decoder(hint, strict)

    def decode(value: Any) -> dict:
        if type(value) is not dict:
            raise DecodeError("not an object")
        return value if inner is _identity else {key: inner(each) for key, each in value.items()}

    return decode


def _decode_time(value: Any) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError):  # in UTC it may lie before the year 1
        raise DecodeError("not a time") from None
    return moment


def _decode_kind(value: Any) -> Kind:
    kind = _KINDS.get(value) if isinstance(value, str) else None
    if kind is None:
        raise DecodeError("not a kind of definitions")
    return kind


def _decode_definition(strict: bool) -> Decoder:
    def decode(value: Any) -> Definition:
        if type(value) is not list or len(value) != 2:
            raise DecodeError("not a definition")
        kind: Any = _decode_kind(value[0])
        return _decoder(kind, strict)(value[1])

    return decode


def _field_hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not typing.ClassVar}


def _decode_partial(cls: type, strict: bool) -> Decoder:
    fields = {name: _decoder(hint, strict) for name, hint in _field_hints(cls).items()}

    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise DecodeError("not an object")
        return _decode_fields(fields, value, strict)

    return decode


def _decode_fields(
    fields: Mapping[str, Decoder], value: Mapping[str, Any], strict: bool
) -> dict[str, Any]:
    decoded = {}
    for name, each in value.items():
        inner = fields.get(name)
        if inner is _identity:
            decoded[name] = each
        elif inner is not None:
            try:
                decoded[name] = inner(each)
            except DecodeError as error:
                raise DecodeError(f"{name}: {error}") from None
        elif strict:
            raise DecodeError(f"there is no {name[:64]!r}")
    return decoded


def _decode_dataclass(cls: type, strict: bool, **special: Decoder) -> Decoder:
    fields = {
        name: special.get(name) or _decoder(hint, strict)
        for name, hint in _field_hints(cls).items()
    }
    required = {
        each.name
        for each in dataclasses.fields(cls)
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    }

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise DecodeError("not an object")
        if not value.keys() >= required:
            raise DecodeError(f"{min(required - value.keys())} is missing")
        return cls(**_decode_fields(fields, value, strict))

    return decode


def _decode_change(strict: bool) -> Decoder:
    """The fields of a change are fields of an image and have their types."""
    return _decode_dataclass(ImageChange, strict, fields=_decode_partial(Image, strict))


def _decode_filter(strict: bool) -> Decoder:
    """The value of a filter has the type of the field that it is compared with."""
    hints = _field_hints(Image)
    simple = _decode_dataclass(Filter, strict)

    def decode(value: Any) -> Filter:
        found = simple(value)
        hint = hints.get(found.field)
        if hint is None:
            raise DecodeError("there is no such field")
        if found.op == "in":
            inner = _decoder(tuple[hint, ...], True)  # type: ignore[valid-type]
        else:
            inner = _decoder(hint, True)
        return dataclasses.replace(found, value=inner(found.value))

    return decode


def _decode_namespace(strict: bool) -> Decoder:
    """The contents of a namespace are named by their kind."""

    def contents(value: Any) -> dict[Kind, list[Any]]:
        if type(value) is not dict:
            raise DecodeError("not an object")
        return {
            kind: _decoder(list[kind], strict)(those)  # type: ignore[valid-type]
            for kind, those in ((_decode_kind(noun), those) for noun, those in value.items())
        }

    return _decode_dataclass(Namespace, strict, contents=contents)


#: Types whose form does not follow from their hints alone.
_SPECIAL: Mapping[type, Callable[[bool], Decoder]] = {
    ImageChange: _decode_change,
    Filter: _decode_filter,
    Namespace: _decode_namespace,
    datetime.datetime: lambda strict: _decode_time,
}
