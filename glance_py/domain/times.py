"""The present in the form that the domain and the database use for all times."""

from __future__ import annotations

import datetime


def utc_now() -> datetime.datetime:
    """The present, in UTC and without a time zone (naive)."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
