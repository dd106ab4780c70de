"""Who may see an image and who may change it.

The same rules in SQL, for lists, are in ``db/select.py``; the contract suite
of the DAL holds the two against each other.
"""

from __future__ import annotations

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image


def is_visible(ctx: Caller, image: Image) -> bool:
    """May the caller see this image when it asks for it by id?

    A membership in any state is enough: the state matters for lists only.
    """
    return (
        ctx.is_admin
        or image.owner is None
        or image.visibility in ("public", "community")
        or image.owner == ctx.project_id
        or (image.visibility == "shared" and image.caller_membership is not None)
    )


def is_mutable(ctx: Caller, image: Image) -> bool:
    """May the caller change this image, as far as ownership goes?"""
    return ctx.is_admin or (image.owner is not None and image.owner == ctx.project_id)
