"""Query strings of lists of metadata definitions, and the paths of their pages.

wire: of a repeated name the first value counts, but links have the last one; links of lists have
unknown names, too, which are ignored otherwise.
"""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from glance_py.domain import errors
from glance_py.domain.metadef import VISIBILITIES, Listing, NamespaceQuery
from glance_py.wire import paths
from glance_py.wire.field import Resource
from glance_py.wire.metadef import NAMESPACE, TAG
from glance_py.wire.query import Parameters, parse_parameters

_NUMBER = re.compile(r"\s*[+-]?\d{1,18}\s*", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceListRequest:
    """A request for a list of namespaces, with the paths of its pages.

    parameters
        Names and values of the query string, for links to pages.
    """

    query: NamespaceQuery
    parameters: dict[str, str]

    @property
    def first_page(self) -> str:
        """The path of the first page."""
        return (
            f"{paths.NAMESPACES}?{urllib.parse.urlencode(self.parameters)}"
            if self.parameters
            else paths.NAMESPACES
        )

    def page_after(self, marker: str) -> str:
        """The path of the page after the namespace ``marker``."""
        return f"{paths.NAMESPACES}?{urllib.parse.urlencode({**self.parameters, 'marker': marker})}"


def load_namespace_query(
    query_string: str, default_limit: int, max_limit: int
) -> NamespaceListRequest:
    """The page of namespaces that a query string (as in WSGI) asks for.

    :raises errors.Invalid: a value is not valid.
    """
    pairs = parse_parameters(query_string)
    parameters = _first_values(pairs)
    limit = _limit(parameters)
    types = parameters.get("resource_types")
    query = NamespaceQuery(
        _listing(parameters, NAMESPACE, min(default_limit if limit is None else limit, max_limit)),
        _visibility(parameters),
        None if types is None else tuple(types.split(",")),
    )
    return NamespaceListRequest(
        query, {name: value for name, value in dict(pairs).items() if name != "marker"}
    )


def load_tag_query(query_string: str) -> Listing:
    """The part of the tags that a query string asks for; all of them unless it has a limit.

    :raises errors.Invalid: a value is not valid.
    """
    parameters = _first_values(parse_parameters(query_string))
    listing = _listing(parameters, TAG, _limit(parameters))
    # wire: an empty marker counts as none, in this list only.
    return dataclasses.replace(listing, marker=listing.marker or None)


def check_object_query(query_string: str) -> None:
    """Check the query string of a list of objects.

    wire: the list is always whole and in order of names, and no parameter changes it.

    :raises errors.Invalid: a value is not valid.
    """
    parameters = _first_values(parse_parameters(query_string))
    if _limit(parameters) == 0:
        raise errors.Invalid("limit must be positive.")
    _direction(parameters)
    _visibility(parameters)


def load_resource_type(query_string: str) -> str:
    """The resource type whose prefix the names in the response have; empty for none.

    :raises errors.Invalid: the query string is not UTF-8, or has another parameter.
    """
    parameters = _first_values(parse_parameters(query_string))
    for name in parameters:
        if name != "resource_type":
            raise errors.Invalid(f"'{name}' cannot be asked for here, only resource_type can.")
    return parameters.get("resource_type", "")


def _first_values(pairs: Parameters) -> dict[str, str]:
    return dict(reversed(pairs))


def _listing(parameters: dict[str, str], resource: Resource, limit: int | None) -> Listing:
    known = ("id", *(field.name for field in resource if field.sort))
    key = parameters.get("sort_key", "created_at")
    if key not in known:
        raise errors.Invalid(f"Invalid sort_key: '{key}'. It must be one of {', '.join(known)}.")
    return Listing(key, _direction(parameters), parameters.get("marker"), limit)


def _direction(parameters: dict[str, str]) -> str:
    direction = parameters.get("sort_dir", "desc")
    if direction not in ("asc", "desc"):
        raise errors.Invalid(f"Invalid sort_dir: '{direction}'. It must be asc or desc.")
    return direction


def _visibility(parameters: dict[str, str]) -> str | None:
    """wire: an empty visibility is valid, and no namespace has it."""
    visibility = parameters.get("visibility")
    if visibility and visibility not in VISIBILITIES:
        raise errors.Invalid(
            f"Invalid visibility: '{visibility}'. It must be one of {', '.join(VISIBILITIES)}."
        )
    return visibility


def _limit(parameters: dict[str, str]) -> int | None:
    text = parameters.get("limit")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or int(text) < 0:
        raise errors.Invalid("limit must be an integer, zero or more.")
    return int(text)
