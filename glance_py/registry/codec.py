"""Converts values of the domain to JSON and back, according to type hints.

A dataclass becomes an object of its fields, a datetime its ISO 8601 form, a kind of metadata
definitions its noun.  The type of a decoded value follows from the hint alone: the JSON cannot
name types.  orjson encodes all types that it supports; :func:`encode` converts the others before.
Why there is no library for this: decision record 0007.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.metadef import KINDS, Definition, Kind, Namespace, NamespacePage, ResourceType
from glance_py.domain.query import Filter, ImageQuery

#: A type as an annotation has it, for example ``Image``, ``str | None`` or ``Sequence[Task]``.
#: Python 3.11 has no static type for these; the functions below are generic in it, and therefore
#: take and return ``Any``.
TypeHint: TypeAlias = object

#: Takes a part of parsed JSON and returns the value of the type that the decoder was made for.
Decoder: TypeAlias = Callable[[Any], Any]

_ALL_KINDS: tuple[Kind, ...] = (*KINDS, ResourceType)
_KINDS: Mapping[str, Kind] = {kind.noun: kind for kind in _ALL_KINDS}


class DecodeError(ValueError):
    """JSON does not have the form that a type requires.

    The message names the field and never contains its value, which may be a secret.
    """


@dataclasses.dataclass(frozen=True)
class PartialOf:
    """A hint for a dict with some of the fields of the dataclass ``cls``."""

    cls: type


# --- To JSON ---------------------------------------------------------------------------------


def encode(hint: TypeHint, value: Any) -> Any:
    """Convert the parts of ``value`` that orjson would encode in another form, or not at all.

    :param hint: the type of ``value`` in the port's signature.
    :returns: a value for orjson with :func:`encode_default` as its ``default``.
    """
    encoder = _encoder(hint)
    return value if encoder is None or value is None else encoder(value)


def encode_default(value: Any) -> Any:
    """Convert a value of a type that orjson does not support; its ``default`` hook.

    :raises TypeError: there is no JSON form for this type, either.
    """
    if isinstance(value, type) and issubclass(value, Definition):
        return value.noun
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


@functools.cache
def _encoder(hint: TypeHint) -> Callable[[Any], Any] | None:
    """The function that converts values of this type; None when orjson needs no help with them."""
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
            return lambda values: [inner(value) for value in values]
    return None


def _encode_query(query: ImageQuery) -> ImageQuery:
    """Clamp the integers of filters to 64 bits, which is all that orjson can encode.

    The result of a comparison does not change: no column of an image holds a larger number.
    """
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
    contents = {kind.noun: definitions for kind, definitions in namespace.contents.items()}
    return {**fields, "contents": contents}


# --- From JSON -------------------------------------------------------------------------------


def decode(hint: TypeHint, value: object, strict: bool = False) -> Any:
    """Convert parsed JSON to a value of the type ``hint``.

    :param strict: check the type of every value and refuse unknown fields, for requests.  Without
        it scalars are not checked and unknown fields are ignored, for answers: a newer registry
        may send more.
    :raises DecodeError: ``value`` does not have the form of this type.
    """
    return _decoder(hint, strict)(value)


def _identity(value: Any) -> Any:
    return value


@functools.cache
def _decoder(hint: TypeHint, strict: bool) -> Decoder:  # noqa: C901 - a branch for each form of hint
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
    return _decode_scalar(hint) if strict and isinstance(hint, type) else _identity


#: The collection in an annotation -> the type that a JSON list is decoded to.
_LISTS: Mapping[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    Sequence: list,
    Collection: list,
    Iterable: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
}


def _decode_scalar(hint: type) -> Decoder:
    allowed = (int, float) if hint is float else (hint,)

    def decode(value: Any) -> Any:
        # A row of an old release may have NULL in any column.  For isinstance(), bool is an int.
        if value is not None and type(value) not in allowed:
            raise DecodeError(f"not of type {hint.__name__}")
        return value

    return decode


def _decode_optional(inner: Decoder) -> Decoder:
    return (
        _identity if inner is _identity else lambda value: None if value is None else inner(value)
    )


def _decode_list(make: Callable[[Iterable[Any]], Any], inner: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not list:
            raise DecodeError("not a list")
        if inner is _identity:
            return value if make is list else make(value)
        return make([inner(each) for each in value])

    return decode


def _decode_fixed_list(inner: tuple[Decoder, ...]) -> Decoder:
    def decode(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(inner):
            raise DecodeError(f"not a list of {len(inner)}")
        return tuple(each(part) for each, part in zip(inner, value, strict=True))

    return decode


def _decode_mapping(hint: TypeHint, strict: bool) -> Decoder:
    inner = _decoder(hint, strict)

    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise DecodeError("not an object")
        return value if inner is _identity else {key: inner(each) for key, each in value.items()}

    return decode


def _decode_time(value: Any) -> datetime.datetime:
    """A naive datetime in UTC, as the domain has them."""
    try:
        moment = datetime.datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(datetime.UTC).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError):  # OverflowError: before the year 1 in UTC
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
        kind: TypeHint = _decode_kind(value[0])
        definition: Definition = _decoder(kind, strict)(value[1])
        return definition

    return decode


def _field_hints(cls: type) -> dict[str, TypeHint]:
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
    """``ImageChange.fields`` holds fields of an image, with the types that they have there."""
    return _decode_dataclass(ImageChange, strict, fields=_decode_partial(Image, strict))


def _decode_filter(strict: bool) -> Decoder:
    """``Filter.value`` has the type of the image's field that it is compared with.

    It is checked even when ``strict`` is false.
    """
    hints = _field_hints(Image)
    simple = _decode_dataclass(Filter, strict)

    def decode(value: Any) -> Filter:
        found: Filter = simple(value)
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
    """The keys of ``Namespace.contents`` are kinds, and determine the types of the values."""

    def contents(value: Any) -> dict[Kind, list[Any]]:
        if type(value) is not dict:
            raise DecodeError("not an object")
        found = {}
        for noun, definitions in value.items():
            kind = _decode_kind(noun)
            found[kind] = _decoder(list[kind], strict)(definitions)  # type: ignore[valid-type]
        return found

    return _decode_dataclass(Namespace, strict, contents=contents)


#: Types whose JSON form does not follow from the hints of their fields alone.
_SPECIAL: Mapping[type, Callable[[bool], Decoder]] = {
    ImageChange: _decode_change,
    Filter: _decode_filter,
    Namespace: _decode_namespace,
    datetime.datetime: lambda strict: _decode_time,
}
