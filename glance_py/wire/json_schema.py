"""JSON Schema compiled to functions, once per process.

Only the keywords that the API's own fields use are implemented here; for a schema of the operator
with other keywords the jsonschema library is imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeGuard

from glance_py.domain.json_types import CheckedObject, CheckedValue, JsonObject

#: Characters of a message of the library that are passed on: it quotes the whole value.
_MAX_MESSAGE = 200

#: Returns the rest of a sentence about the error in a value, None when it is valid.
SchemaCheck = Callable[[object], str | None]

_ANNOTATIONS = frozenset(
    {
        "description",
        "title",
        "readOnly",
        "writeOnly",
        "default",
        "is_base",
        "example",
        "examples",
        "$comment",
    }
)
_SUPPORTED_KEYWORDS = frozenset(
    {
        "type",
        "enum",
        "maxLength",
        "minLength",
        "pattern",
        "minimum",
        "maximum",
        "items",
        "properties",
        "required",
        "additionalProperties",
    }
)


def _is_integer(value: object) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        or (isinstance(value, float) and value.is_integer())
    )


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def compile_schema(schema: JsonObject) -> SchemaCheck:
    """A function that checks one value by ``schema`` (JSON Schema, draft 4).

    :raises jsonschema.SchemaError: ``schema`` is none.
    """
    keywords = schema.keys() - _ANNOTATIONS
    if (
        keywords - _SUPPORTED_KEYWORDS
        or isinstance(schema.get("items"), list)
        or isinstance(schema.get("additionalProperties"), Mapping)
    ):
        return _compile_with_jsonschema(schema)
    checks = [_COMPILERS[key](schema[key]) for key in _COMPILERS if key in keywords]
    if "properties" in keywords or "required" in keywords:
        checks.append(_object_check(schema))
    if len(checks) == 1:
        return checks[0]

    def check(value: object) -> str | None:
        for each in checks:
            problem = each(value)
            if problem is not None:
                return problem
        return None

    return check


def _type_check(names: str | list[str]) -> SchemaCheck:
    names = [names] if isinstance(names, str) else names
    tests = [_TYPES[name] for name in names]
    wanted = " or ".join(names)
    if len(tests) == 1:
        test = tests[0]
        return lambda value: None if test(value) else f"is not of type {wanted}"
    return lambda value: None if any(test(value) for test in tests) else f"is not of type {wanted}"


def _enum_check(choices: list[object]) -> SchemaCheck:
    allowed = ", ".join("null" if choice is None else str(choice) for choice in choices)
    plain = frozenset(choice for choice in choices if isinstance(choice, str | None))

    def check(value: object) -> str | None:
        if isinstance(value, str | None):
            return None if value in plain else f"is not one of {allowed}"
        return None if value in choices else f"is not one of {allowed}"

    return check


def _max_length(limit: int) -> SchemaCheck:
    return lambda value: (
        f"is longer than {limit} characters"
        if isinstance(value, str) and len(value) > limit
        else None
    )


def _min_length(limit: int) -> SchemaCheck:
    return lambda value: (
        f"is shorter than {limit} characters"
        if isinstance(value, str) and len(value) < limit
        else None
    )


def _pattern(pattern: str) -> SchemaCheck:
    # In ECMA 262, which JSON Schema means, "$" does not match before a final newline.
    search = re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern)).search
    return lambda value: (
        f"does not match {pattern}" if isinstance(value, str) and not search(value) else None
    )


def _minimum(limit: float) -> SchemaCheck:
    return lambda value: f"is less than {limit}" if _is_number(value) and value < limit else None


def _maximum(limit: float) -> SchemaCheck:
    return lambda value: f"is greater than {limit}" if _is_number(value) and value > limit else None


def _items(schema: JsonObject) -> SchemaCheck:
    item = compile_schema(schema)

    def check(value: object) -> str | None:
        if isinstance(value, list):
            for each in value:
                problem = item(each)
                if problem is not None:
                    return f"has an item that {problem}"
        return None

    return check


def _object_check(schema: CheckedObject) -> SchemaCheck:
    checks = {name: compile_schema(each) for name, each in schema.get("properties", {}).items()}
    required = frozenset(schema.get("required", ()))
    closed = schema.get("additionalProperties") is False

    def check(value: object) -> str | None:
        if not isinstance(value, dict):
            return None
        for name in sorted(required - value.keys()):
            return f"lacks '{name}'"
        for name, each in value.items():
            if name in checks:
                problem = checks[name](each)
                if problem is not None:
                    return f"has a key '{name}' that {problem}"
            elif closed:
                return f"has an unknown key '{name}'"
        return None

    return check


def _compile_with_jsonschema(schema: JsonObject) -> SchemaCheck:
    import jsonschema

    jsonschema.Draft4Validator.check_schema(schema)
    draft4 = jsonschema.Draft4Validator
    # As here, 1.0 is an integer, which only later drafts say.
    validator = jsonschema.validators.extend(
        draft4,
        type_checker=draft4.TYPE_CHECKER.redefine("integer", lambda _, value: _is_integer(value)),
    )(schema)

    def check(value: object) -> str | None:
        for error in validator.iter_errors(value):
            where = "/".join(str(step) for step in error.absolute_path)
            return f"is not right{' at ' + where if where else ''}: {error.message[:_MAX_MESSAGE]}"
        return None

    return check


#: By keyword, in the order in which a value is checked.
_COMPILERS: Mapping[str, Callable[[CheckedValue], SchemaCheck]] = {
    "type": _type_check,
    "enum": _enum_check,
    "maxLength": _max_length,
    "minLength": _min_length,
    "pattern": _pattern,
    "minimum": _minimum,
    "maximum": _maximum,
    "items": _items,
}
