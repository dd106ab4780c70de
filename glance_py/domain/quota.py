"""What a project must have left of its quotas for a change, as a value.

A reservation travels with the change that needs it.  The DAL makes the change, counts what
the project uses by then and rolls the transaction back when that exceeds a limit; changes
of one project that carry reservations are serialized.  So no two of them can both take
the last unit.  Where the limits come from is not known here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from glance_py.domain import errors

#: What a project has that can be limited: bytes in stores, bytes waiting in staging, images, and
#: images whose data is on its way.  With the sentence for one who has too much.
QUOTA_MESSAGES: Mapping[str, str] = {
    "storage": "A project may store %s bytes of image data.",
    "staging": "A project may have %s bytes of image data in staging.",
    "images": "A project may have %s images.",
    "uploading": "The data of %s images of a project may be on its way at the same time "
    "(image_count_uploading).",
}


@dataclasses.dataclass(frozen=True, slots=True)
class QuotaReservation:
    """The most that ``owner`` may use once a change has been made.

    limits
        Resource (a key of QUOTA_MESSAGES) to bytes or number; what is not named
        is not limited.
    reserve
        Bytes that the image's record reserves for data that is on its way, None
        to leave that as it is.  They count as stored until the data has come or
        the upload has failed, and no reader is shown them.
    """

    owner: str | None
    limits: Mapping[str, int]
    reserve: int | None = None

    def enforce(self, used: Callable[[str, str | None], int]) -> None:
        """Compare what is used with the limits.

        :param used: (resource, owner) to what the owner uses, the change included.
        :raises errors.QuotaExceeded: a limit is exceeded.
        """
        for resource, limit in self.limits.items():
            if used(resource, self.owner) > limit:
                raise errors.QuotaExceeded(QUOTA_MESSAGES[resource] % limit)
