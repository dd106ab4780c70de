"""The largest numbers that the columns of a database hold, on every database that is supported."""

from __future__ import annotations

#: Of a column of type INTEGER.
MAX_INT32 = 2**31 - 1

#: Of a column of type BIGINT.
MAX_INT64 = 2**63 - 1
