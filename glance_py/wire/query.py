"""The query string of ``GET /v2/images`` to an ImageQuery, and the paths of pages.

All filters, sort keys and rules of paging of Image API v2 are checked here, so that repositories
do not check them again.  A value that no image can have, such as letters for a number, is no error:
the list is empty.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import urllib.parse
from collections.abc import Callable

from glance_py.domain import errors
from glance_py.domain.image import VISIBILITIES
from glance_py.domain.integers import MAX_INT64
from glance_py.domain.member import STATUSES, MemberStatus
from glance_py.domain.query import Filter, ImageQuery
from glance_py.wire import paths
from glance_py.wire.field import Resource

#: A condition that no image fulfils.
MATCH_NONE = Filter("id", "in", ())

#: Parameters of a list that are not fields of the image.
FIXED_PARAMETERS = frozenset(
    {
        "limit",
        "marker",
        "sort",
        "sort_key",
        "sort_dir",
        "tag",
        "visibility",
        "member_status",
        "os_hidden",
    }
)

#: Parameters that a list has once.
_SINGLE_VALUED = frozenset({"visibility", "member_status", "sort", "limit", "marker"})

#: Parameters that are no filters; ``deleted`` has no effect on a list of images.
_NOT_FILTERS = FIXED_PARAMETERS | {"deleted"}
_UNSUPPORTED = frozenset({"changes-since", "locations"})

#: Filters, tags and properties of one list.  An image has 128 tags and as many properties by
#: default; each further condition is more work for the database.
MAX_CONDITIONS = 256

_DIRECTIONS = ("asc", "desc")
_INTEGER = re.compile(r"\s*[+-]?0*\d{1,40}\s*", re.ASCII)
_RANGE = re.compile(r"(.+)_(min|max)\Z", re.DOTALL)
_TIME_OPERATORS = ("gt", "gte", "lt", "lte", "eq", "neq")
_YEAR_OR_MONTH = re.compile(r"\d{4}(-\d{2})?\Z", re.ASCII)
#: One value of an ``in:`` list: quoted, with \" for a quote, or plain; then a comma or the end.
_IN_LIST_ITEM = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^",]*))(,|\Z)', re.DOTALL)

Parameters = list[tuple[str, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class ImageListRequest:
    """A request for a list of images, with the paths of its pages.

    parameters
        Names and values of the query string without the marker, for links to pages.
    """

    query: ImageQuery
    parameters: tuple[tuple[str, str], ...]

    @property
    def first_page(self) -> str:
        """The path of the first page.

        wire: of a repeated name it has the last value only.  The path of the next page has them
        all, since the next page must belong to the same list.
        """
        return self._path(tuple(dict(self.parameters).items()))

    def page_after(self, marker: str) -> str:
        """The path of the page after the image ``marker``."""
        return self._path((*self.parameters, ("marker", marker)))

    @staticmethod
    def _path(parameters: tuple[tuple[str, str], ...]) -> str:
        return (
            f"{paths.IMAGES}?{urllib.parse.urlencode(parameters)}" if parameters else paths.IMAGES
        )


def parse_parameters(query_string: str) -> Parameters:
    """Names and values in the order of the query string.

    :param query_string: as in WSGI, one character for each byte.
    :raises errors.Invalid: it is not UTF-8.
    """
    try:
        return urllib.parse.parse_qsl(
            query_string.encode("latin-1").decode(), keep_blank_values=True, errors="strict"
        )
    except UnicodeError:
        raise errors.Invalid("The query string is not UTF-8.") from None


class ImageQueryLoader:
    """Loads query strings, as a resource declares its filters and sort keys; made once per process.

    :param default_limit: images of a page when the query string has no limit.
    :param max_limit: images of a page at most.
    """

    def __init__(self, resource: Resource, default_limit: int, max_limit: int) -> None:
        self._default_limit = default_limit
        self._max_limit = max_limit
        self._sort_keys = tuple(field.name for field in resource if field.sort)
        self._numeric_fields = frozenset(f.name for f in resource if f.filter == "number")
        self._filter_parsers: dict[str, Callable[[str, str], list[Filter]]] = {
            field.name: _FILTER_PARSERS[field.filter] for field in resource if field.filter
        }

    def load(self, query_string: str) -> ImageListRequest:
        """The page that ``query_string`` (as in WSGI) asks for.

        :raises errors.Invalid: a name or a value is not valid.
        :raises errors.MarkerNotFound: the marker cannot be an id.
        """
        parameters = parse_parameters(query_string)
        last = dict(parameters)
        filters, properties = self._conditions(parameters, last)
        if len(last) < len(parameters) and (repeated := _repeated(parameters)):
            # wire: the first value counts, and no image has what the others ask for.
            filters.append(MATCH_NONE)
            first = dict(reversed(parameters))
            last.update((name, first[name]) for name in repeated)
        tags = tuple(dict.fromkeys(value.strip() for name, value in parameters if name == "tag"))
        if len(filters) + len(tags) + len(properties) > MAX_CONDITIONS:
            raise errors.Invalid(f"A list cannot have more than {MAX_CONDITIONS} filters.")
        if any("\x00" in value for value in (*tags, *(v for pair in properties for v in pair))):
            filters.append(MATCH_NONE)
        visibility = last.get("visibility")
        if visibility == "":
            filters.append(MATCH_NONE)
        query = ImageQuery(
            filters=tuple(filters),
            tags=tags,
            properties=tuple(properties),
            visibility=_one_of("visibility", visibility, (*VISIBILITIES, "all", "")) or None,
            member_status=_one_of(
                "member_status",
                last.get("member_status"),
                (*STATUSES, "all"),
            )
            or MemberStatus.ACCEPTED,
            os_hidden=_boolean("os_hidden", last.get("os_hidden", "false").lower()),
            sort=self._sort(parameters, last),
            marker=self._marker(last),
            limit=self._limit(last),
        )
        kept = tuple(pair for pair in parameters if pair[0] != "marker")
        return ImageListRequest(query, kept)

    def _conditions(
        self, parameters: Parameters, last: dict[str, str]
    ) -> tuple[list[Filter], list[tuple[str, str]]]:
        """Filters on columns and on custom properties.

        wire: of a repeated name the last value counts, except for times, which are ranges.
        """
        filters: list[Filter] = []
        properties = []
        for name, value in last.items():
            parse = self._filter_parsers.get(name)
            range_match = _RANGE.match(name)
            if name in _NOT_FILTERS:
                continue
            if name in _UNSUPPORTED:
                raise errors.Invalid(f"Images cannot be filtered by '{name}'.")
            if parse is _time_filters:
                for key, each in parameters:
                    if key == name:
                        filters += parse(name, each)
            elif parse is not None:
                filters += parse(name, value)
            elif range_match is not None:
                filters += self._range(range_match[1], range_match[2], value)
            else:
                properties.append((name, value))
        return filters, properties

    def _range(self, field: str, end: str, value: str) -> list[Filter]:
        if field not in self._numeric_fields:
            raise errors.Invalid(f"There is no numeric field '{field}' to compare.")
        number = _integer(value)
        if number is None:
            raise errors.Invalid("Unable to filter on a range with a non-numeric value.")
        if abs(number) > MAX_INT64:
            matches_all = (number < 0) == (end == "min")
            return [] if matches_all else [MATCH_NONE]
        return [Filter(field, "gte" if end == "min" else "lte", number)]

    def _sort(self, parameters: Parameters, last: dict[str, str]) -> tuple[tuple[str, str], ...]:
        """Pairs of key and direction; created_at and id are added, so that the order is total."""
        keys = [value.strip() for name, value in parameters if name == "sort_key"]
        directions = [value.strip() for name, value in parameters if name == "sort_dir"]
        if "sort" in last:
            if keys or directions:
                raise errors.Invalid("Old and new sorting syntax cannot be combined")
            for part in last["sort"].split(","):
                key, _, direction = part.strip().partition(":")
                keys.append(key.strip())
                directions.append(direction.strip() or "desc")
        for key in keys:
            _one_of("sort key", key, self._sort_keys)
        for direction in directions:
            _one_of("sort direction", direction, _DIRECTIONS)
        default = directions[0] if len(directions) == 1 else "desc"
        keys = keys or ["created_at"]
        if len(directions) < 2:
            directions = [default] * len(keys)
        if len(directions) != len(keys):
            raise errors.Invalid("Number of sort dirs does not match the number of sort keys")
        order: dict[str, str] = {}
        for key, direction in (
            *zip(keys, directions, strict=True),
            ("created_at", default),
            ("id", default),
        ):
            order.setdefault(key, direction)
        return tuple(order.items())

    def _marker(self, last: dict[str, str]) -> str | None:
        marker = last.get("marker")
        if marker == "" or (marker is not None and (len(marker) > 36 or "\x00" in marker)):
            raise errors.MarkerNotFound(marker)
        return marker

    def _limit(self, last: dict[str, str]) -> int:
        if "limit" not in last:
            return min(self._default_limit, self._max_limit)
        limit = _integer(last["limit"])
        if limit is None or limit < 0:
            raise errors.Invalid("limit must be an integer, zero or more.")
        return min(limit, self._max_limit)


def _repeated(parameters: Parameters) -> set[str]:
    """Names that a query string may have once and that this one has more often."""
    names = [name for name, _ in parameters if name in _SINGLE_VALUED]
    return {name for name in names if names.count(name) > 1}


def _one_of(name: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        allowed = ", ".join(choice for choice in choices if choice)
        raise errors.Invalid(f"Invalid {name}: '{value}'. It must be one of {allowed}.")
    return value


def _integer(value: str) -> int | None:
    """The number in ``value``; None when it is none, or has more than 40 digits."""
    return int(value) if _INTEGER.fullmatch(value) else None


def _boolean(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise errors.Invalid(f"The value of {name} must be true or false.")
    return value == "true"


def _exact_filters(name: str, value: str) -> list[Filter]:
    return [MATCH_NONE if "\x00" in value else Filter(name, "eq", value)]


def _flag_filters(name: str, value: str) -> list[Filter]:
    return [Filter(name, "eq", _boolean(name, value))]


def _number_filters(name: str, value: str) -> list[Filter]:
    number = _integer(value)
    if number is None or abs(number) > MAX_INT64:
        return [MATCH_NONE]
    return [Filter(name, "eq", number)]


def _text_filters(name: str, value: str) -> list[Filter]:
    """``value``, ``eq:value`` or ``in:value,"with, comma"``."""
    operator, colon, operand = value.partition(":")
    if not colon:
        return _exact_filters(name, value)
    if operator == "eq":
        return _exact_filters(name, operand)
    if operator != "in":
        raise errors.Invalid(f"Unable to filter by unknown operator '{operator}'.")
    values = tuple(each for each in split_list(operand) if "\x00" not in each)
    return [Filter(name, "in", values)]


def split_list(text: str) -> list[str]:
    """The values of a list with commas between them; quoted values may contain commas.

    :raises errors.Invalid: a quote is not closed, or is inside a value.
    """
    values = []
    position = 0
    while True:
        found = _IN_LIST_ITEM.match(text, position)
        if found is None:
            raise errors.Invalid(
                f"Invalid filter value {text}. Quotes must be closed and enclose whole values."
            )
        quoted, plain, comma = found.groups()
        values.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        if not comma:
            return values
        position = found.end()


def _time_filters(name: str, value: str) -> list[Filter]:
    """``operator:time``, or a time alone for equality."""
    operator, colon, operand = value.partition(":")
    if colon and operator in _TIME_OPERATORS:
        return [Filter(name, operator, _time(name, operand))]
    return [Filter(name, "eq", _time(name, value))]


def _time(name: str, value: str) -> datetime.datetime:
    """A naive UTC time of ISO 8601 text; the time, the day and the month may be missing."""
    value = value.strip()
    short = _YEAR_OR_MONTH.match(value)
    if short:
        value += "-01" if short[1] else "-01-01"
    try:
        time = datetime.datetime.fromisoformat(value)
        if time.tzinfo is not None:
            time = time.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise errors.Invalid(
            f'Bad "{name}" query filter format. Use ISO 8601 DateTime notation.'
        ) from None
    return time


_FILTER_PARSERS = {
    "text": _text_filters,
    "exact": _exact_filters,
    "number": _number_filters,
    "time": _time_filters,
    "flag": _flag_filters,
}
