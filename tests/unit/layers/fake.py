"""Ten-line rooms for the tests of one layer: what lies below, and what it asks."""

from __future__ import annotations

import dataclasses
import types

from oslo_config import cfg

from glance_py.domain import errors
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.ports import Data
from glance_py.domain.query import Page
from glance_py.settings import Settings


class Images:
    """Images by id; remembers the calls that arrived."""

    def __init__(self, *images: Image) -> None:
        self.images = {image.id: image for image in images}
        self.calls: list[tuple] = []

    def get(self, ctx, image_id):
        return dataclasses.replace(self.images[image_id])

    resolve = get

    def list(self, ctx, query):
        self.calls.append(("list",))
        return Page([dataclasses.replace(image) for image in self.images.values()], full=True)

    def create(self, ctx, image, reservation=None):
        self.calls.append(("create", image, reservation))
        return image

    def update(self, ctx, image, change):
        self.calls.append(("update", image, change))
        return dataclasses.replace(
            image, **change.fields, properties=change.properties_after(image.properties)
        )

    def delete(self, ctx, image):
        self.calls.append(("delete", image))

    def upload(self, ctx, image, upload):
        upload.attempt.claim = Claim()
        self.calls.append(("upload", image, upload))
        return image

    def stage(self, ctx, image, upload):
        self.calls.append(("stage", image, upload))
        return image

    @property
    def operations(self):
        return [call[0] for call in self.calls]

    def add_location(self, ctx, image, registration):
        self.calls.append(("add_location", image, registration))

    def list_locations(self, ctx, image):
        self.calls.append(("list_locations", image))
        return image.locations

    def delete_from_store(self, ctx, image, store):
        self.calls.append(("delete_from_store", image, store))
        return image

    def import_(self, ctx, image, request):
        self.calls.append(("import", image, request))

    def add_copy(self, ctx, image, upload, finalize):
        self.calls.append(("add_copy", image, upload))
        return image

    def remove_copy(self, ctx, image, location, change):
        self.calls.append(("remove_copy", image, location))
        return image

    def download(self, ctx, image, request):
        self.calls.append(("download", image, request))
        return Data(chunks=iter([b"ab", b"c"]), length=3)

    def set_status(self, ctx, image, to):
        self.calls.append(("set_status", image, to))
        return dataclasses.replace(image, status=to)


class Claim:
    """A claim that is always held."""

    def guard(self, change, release=False):
        return change.evolve(holder="me")


class Members:
    def __init__(self, *members: Member) -> None:
        self.members = list(members)

    def list(self, ctx, image):
        return list(self.members)

    def get(self, ctx, image, member_id):
        for member in self.members:
            if member.member_id == member_id:
                return member
        raise errors.MemberNotFound(member_id, image.id)

    resolve = get

    def create(self, ctx, image, member_id):
        self.members.append(Member(image.id, member_id))
        return self.members[-1]

    def update(self, ctx, image, member, status):
        return dataclasses.replace(member, status=status)

    def delete(self, ctx, image, member):
        self.members.remove(member)


class Usage:
    """So many bytes and images everywhere; whoever asks may change it."""

    def __init__(self, **used: int) -> None:
        self.used = used

    def storage(self, owner, without=None):
        return self.used.get("storage", 0)

    def staging(self, owner):
        return self.used.get("staging", 0)

    def images(self, owner):
        return self.used.get("images", 0)

    def uploading(self, owner):
        return self.used.get("uploading", 0)


class Notifier:
    """Keeps what was announced."""

    enabled = True

    def __init__(self, silent: tuple[str, ...] = ()) -> None:
        self.sent: list[tuple[str, str, object]] = []
        self.silent = silent

    def is_enabled(self, event):
        return event not in self.silent

    def info(self, event, payload):
        self.sent.append(("INFO", event, payload))

    def error(self, event, payload):
        self.sent.append(("ERROR", event, payload))

    @property
    def events(self):
        return [(priority, event) for priority, event, _ in self.sent]


def deps(conf: cfg.ConfigOpts | None = None, **known: object) -> types.SimpleNamespace:
    """The dependencies of a layer: those that a test names, with the settings of ``conf``.

    A layer that uses another one raises AttributeError.
    """
    settings = Settings() if conf is None else Settings.from_conf(conf)
    return types.SimpleNamespace(
        **{"conf": conf, "settings": settings, "protections": None, "limits": None, **known}
    )
