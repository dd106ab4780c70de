"""What a project may have of each limited resource, and reservations of it, as values.

A reservation is part of the change that needs it.  The DAL makes the change, counts what the
project uses then and rolls the transaction back when that exceeds a limit; changes of one project
that have reservations are serialized.  So two of them cannot both take the last unit.  Limits
come from options and from Keystone, see ``glance_py/limits.py`` and ``glance_py/layers/quota.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from glance_py.domain import errors

MIB = 1024**2


@dataclasses.dataclass(frozen=True, slots=True)
class QuotaResource:
    """Something that a project has and that can be limited.

    name
        The key in :attr:`QuotaReservation.limits`, and the method of ``UsageRepository`` that
        counts it.
    message
        The text for the client when the limit is exceeded; ``%s`` is the limit, in bytes or
        images.
    unified_limit
        The name of the registered limit in Keystone.
    unit
        How many bytes or images one unit of that limit is.
    """

    name: str
    message: str
    unified_limit: str
    unit: int


STORAGE = QuotaResource(
    "storage", "A project may store %s bytes of image data.", "image_size_total", MIB
)
STAGING = QuotaResource(
    "staging", "A project may have %s bytes of image data in staging.", "image_stage_total", MIB
)
IMAGES = QuotaResource("images", "A project may have %s images.", "image_count_total", 1)
UPLOADING = QuotaResource(
    "uploading",
    "The data of %s images of a project may be on its way at the same time "
    "(image_count_uploading).",
    "image_count_uploading",
    1,
)

#: All resources by name.  Messages, unified limits, the usage that clients can read, and the
#: commands of the registry are derived from this table.
RESOURCES: Mapping[str, QuotaResource] = {
    each.name: each for each in (STORAGE, STAGING, IMAGES, UPLOADING)
}


@dataclasses.dataclass(frozen=True, slots=True)
class QuotaReservation:
    """The most that ``owner`` may use once a change has been made.

    limits
        Name of a resource to bytes or number of images; what is not named is not limited.
    reserve
        Bytes that the record of the image reserves for data that is on its way, None to leave
        that as it is.  They count as stored until the data has come or the upload has failed,
        and no reader is shown them.
    """

    owner: str | None
    limits: Mapping[str, int]
    reserve: int | None = None

    def enforce(self, used: Callable[[str, str | None], int]) -> None:
        """Compare what is used with the limits.

        :param used: returns what an owner uses of a resource, the change included; its
            arguments are the name of the resource and the owner.
        :raises errors.QuotaExceeded: a limit is exceeded.
        """
        for resource, limit in self.limits.items():
            if used(resource, self.owner) > limit:
                raise errors.QuotaExceeded(RESOURCES[resource].message % limit)
