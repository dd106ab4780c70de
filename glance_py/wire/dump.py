"""Serialisers: objects of the domain to JSON.  They are made once per process.

orjson, which is written in C, encodes dates in the form of Image API v2
(``YYYY-MM-DDTHH:MM:SSZ``), and one call fetches all attributes of an object: tests/budget counts
both.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import orjson

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, ImageStatus, Location
from glance_py.domain.importing import HIDDEN_PROPERTIES
from glance_py.domain.json_types import JsonDocument
from glance_py.domain.member import Member
from glance_py.settings import ApiSettings
from glance_py.wire import paths
from glance_py.wire.field import Resource
from glance_py.wire.member import MEMBER

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS


def dumps(document: object) -> bytes:
    """Encode a document as JSON; its dates are naive UTC."""
    return orjson.dumps(document, option=_OPTIONS)


def compile_attributes(resource: Resource) -> Callable[[object], Iterable[tuple[str, object]]]:
    """A function from an object of the domain to (key, value) of all fields with a source."""
    fields = [field for field in resource if field.source is not None]
    names = [field.name for field in fields]
    get_values = operator.attrgetter(*[str(field.source) for field in fields])
    return lambda item: zip(names, get_values(item), strict=True)


class StoreOrder(Protocol):
    """How the stores of the service order the locations of an image."""

    @property
    def multi(self) -> bool:
        """True when the service has named stores, among which clients choose."""

    def weight(self, store_id: str | None) -> int:
        """The weight of a store; 0 for None and for a store that does not exist."""


class ImageDumper:
    """Serialises images for one configuration.

    :param stores: their weights order the locations in a document, heavier ones first.
    """

    def __init__(self, resource: Resource, api: ApiSettings, stores: StoreOrder) -> None:
        self._attributes = compile_attributes(resource)
        self._show_locations = api.show_multiple_locations
        self._show_direct_url = api.show_image_direct_url
        self._stores = stores

    def document(self, ctx: Caller, image: Image) -> JsonDocument:
        """One image as the caller may see it, with dates that are not text yet."""
        path = f"{paths.IMAGES}/{image.id}"
        document: JsonDocument = {**image.properties}
        for name in HIDDEN_PROPERTIES & document.keys():
            del document[name]
        document.update(self._attributes(image))
        document["self"] = path
        document["file"] = f"{path}/file"
        document["schema"] = f"{paths.SCHEMAS}/image"
        self._add_locations(document, ctx, image)
        return document

    def _add_locations(self, document: JsonDocument, ctx: Caller, image: Image) -> None:
        """Add what the configuration shows of the locations of an image.

        Those of a deactivated image are shown to administrators only.
        """
        hidden = image.status == ImageStatus.DEACTIVATED and not ctx.is_admin
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
        """Locations in the heaviest store first; the order of equal ones stays."""
        if len(locations) < 2 or not self._stores.multi:
            return locations
        return sorted(locations, key=lambda location: -self._stores.weight(location.store))

    def dump_image(self, ctx: Caller, image: Image) -> bytes:
        """The body that shows one image."""
        return dumps(self.document(ctx, image))

    def dump_page(
        self, ctx: Caller, images: Iterable[Image], first: str, next_page: str | None
    ) -> bytes:
        """The body of a list of images.

        :param first: the path of the first page.
        :param next_page: the path of the next page, None on the last one.
        """
        body: JsonDocument = {
            "images": [self.document(ctx, image) for image in images],
            "first": first,
            "schema": f"{paths.SCHEMAS}/images",
        }
        if next_page is not None:
            body["next"] = next_page
        return dumps(body)


_member_attributes = compile_attributes(MEMBER)


def member_document(member: Member) -> JsonDocument:
    """One member, with dates that are not text yet."""
    return {**dict(_member_attributes(member)), "schema": f"{paths.SCHEMAS}/member"}


def dump_member(member: Member, shown_id: str | float | None = None) -> bytes:
    """The body that shows one member.

    :param shown_id: the project id as the client wrote it, instead of the recorded one.
    """
    document = member_document(member)
    if shown_id is not None:
        document["member_id"] = shown_id
    return dumps(document)


def dump_members(members: Iterable[Member]) -> bytes:
    """The body that lists the members of an image."""
    return dumps(
        {
            "members": [member_document(member) for member in members],
            "schema": f"{paths.SCHEMAS}/members",
        }
    )
