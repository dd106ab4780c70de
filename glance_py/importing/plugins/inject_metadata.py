"""Gives imported images the properties that the operator wants on all of them."""

from __future__ import annotations

from glance_py.domain.change import ImageChange
from glance_py.domain.image import COLUMNS
from glance_py.domain.property_names import is_reserved
from glance_py.importing.plugins.base import StagedImage

#: Names that are no custom properties.
_STANDARD_FIELDS = COLUMNS | {
    "id",
    "tags",
    "locations",
    "location",
    "created_at",
    "updated_at",
    "deleted_at",
    "self",
    "file",
    "schema",
    "direct_url",
    "stores",
}


class InjectImageMetadata:
    """Sets ``[inject_metadata_properties] inject``, except for callers with certain roles."""

    def __init__(self, conf) -> None:
        options = conf.inject_metadata_properties
        self._ignored_roles = frozenset(role.lower() for role in options.ignore_user_roles)
        self._properties = {
            name: str(value)
            for name, value in options.inject.items()
            if name not in _STANDARD_FIELDS and not is_reserved(name)
        }

    def process(self, staged: StagedImage) -> None:
        roles = {role.lower() for role in staged.ctx.roles or ()}
        if self._properties and not roles & self._ignored_roles:
            staged.update_image(ImageChange(set_properties=dict(self._properties)))
