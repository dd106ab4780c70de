"""Room that a project needs for a change, as a value.

A claim travels with the change it pays for.  The DAL makes the change, counts
what the project has by then and takes everything back when that is too much;
changes of one project that carry claims follow each other.  So no two of them
can both take the last place.  Where the limits come from is not known here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from glance_py.domain import errors

#: What a project has that can be limited: bytes in stores, bytes waiting in staging, images, and
#: images whose data is on its way.  With the sentence for one who has too much.
SENTENCES: Mapping[str, str] = {
    "storage": "A project may store %s bytes of image data.",
    "staging": "A project may have %s bytes of image data in staging.",
    "images": "A project may have %s images.",
    "uploading": "The data of %s images of a project may be on its way at the same time "
                 "(image_count_uploading).",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """The most that ``owner`` may have once a change has been made.

    most
        Resource (a key of SENTENCES) to bytes or number; what is not named is
        not limited.
    hold
        Bytes that the image's record holds for data that is on its way, None to
        leave that as it is.  They count as stored until the data has come or
        the upload has failed, and nobody is shown them.
    """

    owner: str | None
    most: Mapping[str, int]
    hold: int | None = None

    def check(self, used: Callable[[str, str | None], int]) -> None:
        """Is that no more than allowed?

        :param used: (resource, owner) to what the owner has, the change included.
        :raises errors.QuotaExceeded: it is more.
        """
        for resource, most in self.most.items():
            if used(resource, self.owner) > most:
                raise errors.QuotaExceeded(SENTENCES[resource] % most)
