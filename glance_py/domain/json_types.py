"""Names for the types of decoded JSON (RFC 8259).

A type checker cannot follow a schema that is data.  These names say what is known of a value
instead of a bare ``Any``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

#: An object whose values are of unknown type: they are narrowed with ``isinstance`` before use.
JsonObject: TypeAlias = Mapping[str, object]

#: An object that is being built for an answer; its values can be encoded as JSON.
JsonDocument: TypeAlias = dict[str, object]

#: A value that a compiled JSON Schema has accepted; the schema, not the type checker, knows its
#: type.
CheckedValue: TypeAlias = Any

#: An object that a compiled JSON Schema has accepted.
CheckedObject: TypeAlias = Mapping[str, Any]
