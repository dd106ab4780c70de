"""A plugin that sets properties on imported images, as the operator configured them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

from oslo_config import cfg

from glance_py.domain.change import ImageChange
from glance_py.domain.image import COLUMNS
from glance_py.domain.property_names import is_reserved
from glance_py.importing.plugins.base import ImportPlugin, StagedImage

#: Names of fields of an image, which are no custom properties.
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


@dataclasses.dataclass(frozen=True, slots=True)
class InjectionSettings:
    """The group ``[inject_metadata_properties]``."""

    inject: Mapping[str, object] = dataclasses.field(default_factory=dict)
    ignore_user_roles: Sequence[str] = ("admin",)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """Read the group from ``conf``."""
        group = conf.inject_metadata_properties
        return cls(dict(group.inject), tuple(group.ignore_user_roles))


class InjectImageMetadata(ImportPlugin):
    """Sets the properties of the option ``inject``, unless the caller has an ignored role."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        settings = InjectionSettings.from_conf(conf)
        self._ignored_roles = frozenset(role.lower() for role in settings.ignore_user_roles)
        self._properties = {
            name: str(value)
            for name, value in settings.inject.items()
            if name not in _STANDARD_FIELDS and not is_reserved(name)
        }

    def process(self, staged: StagedImage) -> None:
        roles = {role.lower() for role in staged.ctx.roles or ()}
        if self._properties and not roles & self._ignored_roles:
            staged.update_image(ImageChange(set_properties=dict(self._properties)))
