"""The rules of ownership: which callers see a thing, and which may change it.

They hold whatever the operator's policy allows.  The layers and the registry use the same
functions, so that both refuse the same callers with the same messages.  For lists the same rules
stand in SQL, in ``db/visibility.py``; the contract suite of the DAL (``tests/contract/dal``)
compares the two.
"""

from __future__ import annotations

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.image import Image, Visibility
from glance_py.domain.member import Member
from glance_py.domain.metadef import Namespace


def is_visible(ctx: Caller, image: Image) -> bool:
    """True when the caller sees this image by its id.

    A membership in any state is enough: its state matters for lists only.
    """
    return (
        ctx.is_admin
        or image.owner is None
        or image.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY)
        or image.owner == ctx.project_id
        or (image.visibility == Visibility.SHARED and image.caller_membership is not None)
    )


def is_mutable(ctx: Caller, image: Image) -> bool:
    """True when the image belongs to the caller's project, or the caller is an administrator."""
    return ctx.is_admin or (image.owner is not None and image.owner == ctx.project_id)


def require_visible(ctx: Caller, image: Image) -> None:
    """:raises errors.ImageNotFound: the caller does not see the image."""
    if not is_visible(ctx, image):
        raise errors.ImageNotFound(image.id)


def require_mutable(ctx: Caller, image: Image) -> None:
    """:raises errors.Forbidden: the image belongs to another project, or to none."""
    if not is_mutable(ctx, image):
        raise errors.Forbidden(f"You do not own image {image.id}.")


def foreign_owner_error(image: Image) -> errors.Forbidden:
    """The error for a caller that would create an image for another project."""
    return errors.Forbidden(f"You are not permitted to create images owned by '{image.owner}'.")


def require_own_project(ctx: Caller, image: Image) -> None:
    """Check the owner of an image that is to be created.

    :raises errors.Forbidden: it is not the caller's project, and the caller is no administrator.
    """
    if not ctx.is_admin and image.owner != ctx.project_id:
        raise foreign_owner_error(image)


def check_owner_change(ctx: Caller, image: Image | None, owner: object) -> None:
    """Check a change that sets the owner of an image.

    :param image: the image before the change; None when the caller is not known to own it.
    :param owner: the project that the change names.
    :raises errors.Forbidden: the image would get another owner, or belongs to another project,
        and the caller is no administrator.
    """
    if ctx.is_admin:
        return
    if image is None or owner != image.owner or not is_mutable(ctx, image):
        raise errors.Forbidden("Only an administrator may give an image another owner.")


def require_own_membership(ctx: Caller, member: Member) -> None:
    """:raises errors.Forbidden: the member is another project than the caller's."""
    if not ctx.is_admin and member.member_id != ctx.project_id:
        raise foreign_membership_error()


def foreign_membership_error() -> errors.Forbidden:
    """The error for a caller that would set the status of another project's membership."""
    return errors.Forbidden("Only the member itself accepts or rejects an image.")


# --- Metadata namespaces; what a namespace holds is seen and changed with it. -----------------


def is_namespace_visible(ctx: Caller, namespace: Namespace) -> bool:
    """True when the caller sees this namespace and what it holds."""
    return namespace.visibility == Visibility.PUBLIC or is_namespace_mutable(ctx, namespace)


def is_namespace_mutable(ctx: Caller, namespace: Namespace) -> bool:
    """True when the namespace belongs to the caller's project; always for an administrator."""
    return ctx.is_admin or namespace.owner == ctx.project_id


def require_namespace_visible(ctx: Caller, namespace: Namespace) -> None:
    """:raises errors.NamespaceNotFound: the caller does not see the namespace."""
    if not is_namespace_visible(ctx, namespace):
        raise errors.NamespaceNotFound(namespace.name)


def require_namespace_mutable(ctx: Caller, namespace: Namespace) -> None:
    """:raises errors.Forbidden: the namespace belongs to another project."""
    if not is_namespace_mutable(ctx, namespace):
        raise errors.Forbidden(f"You do not own the metadata namespace {namespace.name}.")
