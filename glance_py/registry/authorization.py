"""What a caller may ask of a registry: the rules of ownership, once more.

API hosts judge their callers by policies that are not known here.  Should one of
them fall into the wrong hands, it still sees and changes only what the callers
whose tokens it has may see and change, and what the work in the background
needs.  So nothing that comes with a request is believed about whose an image or
a namespace is: it is looked up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.metadef import (
    DefinitionT,
    Kind,
    Listing,
    Namespace,
    NamespacePage,
    NamespaceQuery,
)
from glance_py.domain.ports import ImageRepository, MemberRepository, Repositories
from glance_py.domain.query import ImageQuery, Page
from glance_py.domain.quota import QuotaReservation
from glance_py.domain.visibility import (
    check_owner_change,
    is_mutable,
    require_mutable,
    require_namespace_mutable,
    require_namespace_visible,
    require_own_membership,
    require_own_project,
    require_visible,
)
from glance_py.registry import protocol

#: The role of the service's own users in Keystone.
SERVICE_ROLE = "service"


def is_api_host(ctx: Caller) -> bool:
    """Does the request come from an API host?

    Its own token comes with each request: users who reach a registry with
    nothing but their tokens could go round all policies.  Without
    authentication everybody is believed.
    """
    return (
        SERVICE_ROLE in ctx.roles
        or SERVICE_ROLE in (ctx.service_roles or ())
        or (ctx.user_id is None and bool(ctx.is_admin))
    )


def is_service_request(ctx: Caller) -> bool:
    """Does the API host ask on its own account?  So it does in the background."""
    return bool(ctx.is_admin) or SERVICE_ROLE in ctx.roles


def require_service(ctx: Caller) -> None:
    """:raises errors.Forbidden: this is asked on the account of a user."""
    if not is_service_request(ctx):
        raise errors.Forbidden("Only the service itself may ask this.")


class ScopedImages:
    """The images of the records, as far as the caller may see and change them."""

    def __init__(self, inner: ImageRepository) -> None:
        self._inner = inner

    def get(self, ctx: Caller, image_id: str) -> Image:
        image = self._inner.get(ctx, image_id)
        if not is_service_request(ctx):
            require_visible(ctx, image)
        return image

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        return self._inner.list(ctx, query)  # it holds only what the caller may see

    def create(
        self, ctx: Caller, image: Image, reservation: QuotaReservation | None = None
    ) -> Image:
        require_own_project(ctx, image)
        return self._inner.create(ctx, image, reservation)

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        if not ctx.is_admin:
            found = None if is_service_request(ctx) else self.get_mutable(ctx, image.id)
            if "owner" in change.fields:
                check_owner_change(ctx, found, change.fields["owner"])
        return self._inner.update(ctx, image, change)

    def delete(self, ctx: Caller, image: Image, status: str = "deleted") -> None:
        if not ctx.is_admin:
            self.get_mutable(ctx, image.id)
        self._inner.delete(ctx, image, status)

    def get_mutable(self, ctx: Caller, image_id: str) -> Image:
        """The image, which the caller may change.

        :raises errors.ImageNotFound: the caller may not even see it.
        :raises errors.Forbidden: it is another project's.
        """
        image = self.get(ctx, image_id)
        require_mutable(ctx, image)
        return image


class ScopedMembers:
    """The members of images: the owner's to see and change, and each project's own."""

    def __init__(self, inner: MemberRepository, images: ScopedImages) -> None:
        self._inner = inner
        self._images = images

    def find(self, ctx: Caller, image_id: str, member_id: str | None = None) -> Sequence[Member]:
        found = self._inner.find(ctx, image_id, member_id)
        if not found or ctx.is_admin or is_mutable(ctx, self._images.get(ctx, image_id)):
            return found
        return [member for member in found if member.member_id == ctx.project_id]

    def create(self, ctx: Caller, image_id: str, member_id: str) -> Member:
        if not is_service_request(ctx):
            self._images.get_mutable(ctx, image_id)
        return self._inner.create(ctx, image_id, member_id)

    def update(self, ctx: Caller, member: Member, status: str) -> Member:
        require_own_membership(ctx, member)
        return self._inner.update(ctx, member, status)

    def delete(self, ctx: Caller, member: Member) -> None:
        self._images.get_mutable(ctx, member.image_id)
        self._inner.delete(ctx, member)


class ScopedNamespaces:
    """Metadata namespaces, as far as the caller may see and change them."""

    def __init__(self, inner) -> None:
        self._inner = inner

    def get(self, ctx: Caller, name: str) -> Namespace:
        return self._visible(ctx, self._inner.get(ctx, name))

    def resolve(self, ctx: Caller, name: str) -> Namespace:
        return self._visible(ctx, self._inner.resolve(ctx, name))

    @staticmethod
    def _visible(ctx: Caller, namespace: Namespace) -> Namespace:
        require_namespace_visible(ctx, namespace)
        return namespace

    def list(self, ctx: Caller, query: NamespaceQuery) -> NamespacePage:
        return self._inner.list(ctx, query)  # it holds only what the caller may see

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        require_namespace_mutable(ctx, namespace)
        return self._inner.create(ctx, namespace)

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        found = self.get_mutable(ctx, namespace)
        require_namespace_mutable(ctx, after)
        return self._inner.update(ctx, found, after)

    def delete(self, ctx: Caller, namespace: Namespace) -> None:
        self._inner.delete(ctx, self.get_mutable(ctx, namespace))

    def resource_types(self, ctx: Caller) -> Sequence[Any]:
        return self._inner.resource_types(ctx)

    def get_recorded(self, ctx: Caller, namespace: Namespace) -> Namespace:
        """The namespace as it is recorded, which the caller may see.

        :raises errors.NamespaceNotFound: it is gone, or was never seen by the caller.
        """
        found = self.resolve(ctx, namespace.name)
        if found.id != namespace.id:
            raise errors.NamespaceNotFound(namespace.name)
        return found

    def get_mutable(self, ctx: Caller, namespace: Namespace) -> Namespace:
        """The same, which the caller may change.

        :raises errors.Forbidden: it is another project's.
        """
        found = self.get_recorded(ctx, namespace)
        require_namespace_mutable(ctx, found)
        return found


class ScopedDefinitions:
    """What lies in a namespace is seen and changed with it."""

    def __init__(self, inner, namespaces: ScopedNamespaces) -> None:
        self._inner = inner
        self._namespaces = namespaces

    def list(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        listing: Listing | None = None,
    ) -> Sequence[DefinitionT]:
        return self._inner.list(ctx, self._namespaces.get_recorded(ctx, namespace), kind, listing)

    def get(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        return self._inner.get(ctx, self._namespaces.get_recorded(ctx, namespace), kind, name)

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT:
        return self._inner.create(ctx, self._namespaces.get_mutable(ctx, namespace), definition)

    def create_all(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        definitions: Sequence[DefinitionT],
        append: bool,
    ) -> Sequence[DefinitionT]:
        return self._inner.create_all(
            ctx, self._namespaces.get_mutable(ctx, namespace), kind, definitions, append
        )

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT:
        return self._inner.update(ctx, self._namespaces.get_mutable(ctx, namespace), name, after)

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        return self._inner.delete(ctx, self._namespaces.get_mutable(ctx, namespace), kind, name)

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        self._inner.clear(ctx, self._namespaces.get_mutable(ctx, namespace), kind)


def authorized_commands(repositories: Repositories) -> Mapping[str, Callable[..., Any]]:
    """Every command by name, as a function of the caller and the command's arguments.

    Where the port has no caller, only the service itself may ask.
    """
    images, namespaces = (
        ScopedImages(repositories.images),
        ScopedNamespaces(repositories.namespaces),
    )
    ports: Mapping[str, Any] = {
        "images": images,
        "members": ScopedMembers(repositories.members, images),
        "namespaces": namespaces,
        "definitions": ScopedDefinitions(repositories.definitions, namespaces),
    }
    functions: dict[str, Callable[..., Any]] = {"ping": lambda ctx: repositories.ping()}
    for command in protocol.COMMANDS.values():
        port, _, operation = command.name.partition(".")
        if command.takes_context:
            functions[command.name] = getattr(ports[port], operation)
        elif operation:
            functions[command.name] = functools.partial(
                _as_service, getattr(getattr(repositories, port), operation)
            )
    return functions


def _as_service(method: Callable[..., Any], ctx: Caller, **arguments: Any) -> Any:
    require_service(ctx)
    return method(**arguments)
