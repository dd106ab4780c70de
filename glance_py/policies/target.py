"""Targets of policy rules: mappings from which a rule reads the keys that it names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from glance_py.domain.image import Image

#: Key that a rule may name -> field of the image.
_FIELDS = {
    field.name: field.name
    for field in dataclasses.fields(Image)
    if field.name not in ("properties", "locations", "caller_membership")
} | {"project_id": "owner", "member_id": "caller_membership", "image_id": "id"}


class ImageTarget(Mapping[str, object]):
    """An image as the target of a rule: its fields and, under other keys, its properties.

    ``project_id`` is the owner.  ``member_id`` is the project of the caller when that is a member
    of the image, else None.
    """

    __slots__ = ("image",)

    def __init__(self, image: Image) -> None:
        self.image = image

    def __getitem__(self, key: str) -> object:
        field = _FIELDS.get(key)
        if field is None:
            return self.image.properties[key]
        return getattr(self.image, field)

    def __iter__(self) -> Iterator[str]:
        yield from _FIELDS
        yield from (key for key in self.image.properties if key not in _FIELDS)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def new_image_target(owner: str | None, visibility: str) -> dict[str, object]:
    """The target of rules about creating an image."""
    return {"project_id": owner, "owner": owner, "visibility": visibility}


class RecordingTarget(Mapping[str, object]):
    """A target that records in ``read`` which keys were read."""

    __slots__ = ("target", "read")

    def __init__(self, target: Mapping[str, object]) -> None:
        self.target = target
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> object:
        self.read.add(key)
        return self.target[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.target)

    def __len__(self) -> int:
        return len(self.target)
