"""Domain objects to JSON, by serialisers that are made once per process.

Dates are left to orjson, which writes them in C in the form of Image API v2
(``YYYY-MM-DDTHH:MM:SSZ``); attributes are fetched in one call per object.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import HIDDEN_PROPERTIES
from glance_py.domain.member import Member
from glance_py.wire.field import Resource
from glance_py.wire.member import MEMBER

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS


def dumps(document: object) -> bytes:
    """JSON of a document that may hold naive UTC dates."""
    return orjson.dumps(document, option=_OPTIONS)


def compile_attributes(resource: Resource) -> Callable[[Any], Iterable[tuple[str, Any]]]:
    """A function from a domain object to (key, value) of all fields with a source."""
    fields = [field for field in resource if field.source is not None]
    names = [field.name for field in fields]
    get_values = operator.attrgetter(*[str(field.source) for field in fields])
    return lambda item: zip(names, get_values(item), strict=True)


class ImageDumper:
    """Serialises images for one configuration.

    ``stores`` gives the weights that order locations (heavier first) and says
    whether there are several stores to name.
    """

    def __init__(self, resource: Resource, conf, stores) -> None:
        self._attributes = compile_attributes(resource)
        self._show_locations = conf.show_multiple_locations
        self._show_direct_url = conf.show_image_direct_url
        self._stores = stores

    def document(self, ctx: Caller, image: Image) -> dict[str, Any]:
        """One image as the caller may see it, JSON-ready except for its dates."""
        path = f"/v2/images/{image.id}"
        document: dict[str, Any] = {**image.properties}
        for name in HIDDEN_PROPERTIES & document.keys():
            del document[name]
        document.update(self._attributes(image))
        document["self"] = path
        document["file"] = f"{path}/file"
        document["schema"] = "/v2/schemas/image"
        self._add_locations(document, ctx, image)
        return document

    def _add_locations(self, document: dict[str, Any], ctx: Caller, image: Image) -> None:
        """Say where the data lies, as far as the operator shows it.

        The places of a deactivated image are an administrator's business.
        """
        hidden = image.status == "deactivated" and not ctx.is_admin
        locations = [] if hidden else self.sort_locations(image.locations)
        if self._show_locations:
            document["locations"] = [
                {"url": location.url, "metadata": location.metadata, **location.extra}
                for location in locations
            ]
        if not locations:
            return
        if self._show_direct_url:
            document["direct_url"] = locations[0].url
        if self._stores.multi:
            stores = [location.store for location in locations if location.store]
            if stores:
                document["stores"] = ",".join(stores)

    def sort_locations(self, locations: Sequence[Location]) -> Sequence[Location]:
        """Copies with the heaviest store first; equal ones keep their order."""
        if len(locations) < 2 or not self._stores.multi:
            return locations
        return sorted(locations, key=lambda location: -self._stores.weight(location.store))

    def dump_image(self, ctx: Caller, image: Image) -> bytes:
        """The body that shows one image."""
        return dumps(self.document(ctx, image))

    def dump_page(
        self, ctx: Caller, images: Iterable[Image], first: str, next_page: str | None
    ) -> bytes:
        """The body of a list: ``first`` and ``next_page`` are paths of pages."""
        body = {
            "images": [self.document(ctx, image) for image in images],
            "first": first,
            "schema": "/v2/schemas/images",
        }
        if next_page is not None:
            body["next"] = next_page
        return dumps(body)


_member_attributes = compile_attributes(MEMBER)


def member_document(member: Member) -> dict[str, Any]:
    """One member, JSON-ready except for its dates."""
    return {**dict(_member_attributes(member)), "schema": "/v2/schemas/member"}


def dump_member(member: Member, shown_id: str | float | None = None) -> bytes:
    """The body that shows one member, its project id as the client wrote it if that is given."""
    document = member_document(member)
    if shown_id is not None:
        document["member_id"] = shown_id
    return dumps(document)


def dump_members(members: Iterable[Member]) -> bytes:
    """The body that lists the members of an image."""
    return dumps(
        {
            "members": [member_document(member) for member in members],
            "schema": "/v2/schemas/members",
        }
    )
