"""Authorization in the registry: visibility and ownership, checked for every command.

The registry does not trust API hosts, whose policies it does not know.  A compromised host can act
only for the callers whose tokens it holds, and execute the commands of background work.  Therefore
the owner of an image or namespace is read from the database, never taken from the request.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glance_py.domain import errors
from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, ImageStatus
from glance_py.domain.member import Member
from glance_py.domain.metadef import (
    DefinitionT,
    Kind,
    Listing,
    Namespace,
    NamespacePage,
    NamespaceQuery,
    ResourceType,
)
from glance_py.domain.ports import (
    DefinitionOperations,
    ImageRepository,
    MemberRepository,
    NamespaceOperations,
    Repositories,
)
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
    """True when the request comes from an API host, that is, with a token of the role service.

    A user who can reach the registry has no such token, and could bypass all policies otherwise.
    Without authentication every caller is an administrator without a user id, and accepted.
    """
    return (
        SERVICE_ROLE in ctx.roles
        or SERVICE_ROLE in (ctx.service_roles or ())
        or (ctx.user_id is None and bool(ctx.is_admin))
    )


def is_service_request(ctx: Caller) -> bool:
    """True when the command acts with the rights of the service, as background work does."""
    return bool(ctx.is_admin) or SERVICE_ROLE in ctx.roles


def require_service(ctx: Caller) -> None:
    """:raises errors.Forbidden: the command acts with the rights of a user."""
    if not is_service_request(ctx):
        raise errors.Forbidden("Only the service itself may ask this.")


class ScopedImages:
    """:class:`ImageRepository`, limited to what the caller may see and change."""

    def __init__(self, inner: ImageRepository) -> None:
        self._inner = inner

    def get(self, ctx: Caller, image_id: str) -> Image:
        image = self._inner.get(ctx, image_id)
        if not is_service_request(ctx):
            require_visible(ctx, image)
        return image

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        return self._inner.list(ctx, query)  # the query selects what is visible to the caller

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

    def delete(self, ctx: Caller, image: Image, status: str = ImageStatus.DELETED) -> None:
        if not ctx.is_admin:
            self.get_mutable(ctx, image.id)
        self._inner.delete(ctx, image, status)

    def get_mutable(self, ctx: Caller, image_id: str) -> Image:
        """The image, read from the database, which the caller may change.

        :raises errors.ImageNotFound: it does not exist or is not visible to the caller.
        :raises errors.Forbidden: it belongs to another project.
        """
        image = self.get(ctx, image_id)
        require_mutable(ctx, image)
        return image


class ScopedMembers:
    """:class:`MemberRepository`, limited to what the caller may see and change.

    The owner of an image sees all its members; other projects see their own membership.
    """

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
    """:class:`NamespaceOperations`, limited to what the caller may see and change."""

    def __init__(self, inner: NamespaceOperations) -> None:
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
        return self._inner.list(ctx, query)  # the query selects what is visible to the caller

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        require_namespace_mutable(ctx, namespace)
        return self._inner.create(ctx, namespace)

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        found = self.get_mutable(ctx, namespace)
        require_namespace_mutable(ctx, after)
        return self._inner.update(ctx, found, after)

    def delete(self, ctx: Caller, namespace: Namespace) -> None:
        self._inner.delete(ctx, self.get_mutable(ctx, namespace))

    def resource_types(self, ctx: Caller) -> Sequence[ResourceType]:
        return self._inner.resource_types(ctx)

    def get_recorded(self, ctx: Caller, namespace: Namespace) -> Namespace:
        """The namespace, read from the database.

        Its name and its id must belong to the same row: rows are found by id.

        :raises errors.NamespaceNotFound: it does not exist or is not visible to the caller.
        """
        found = self.resolve(ctx, namespace.name)
        if found.id != namespace.id:
            raise errors.NamespaceNotFound(namespace.name)
        return found

    def get_mutable(self, ctx: Caller, namespace: Namespace) -> Namespace:
        """The namespace, read from the database, which the caller may change.

        :raises errors.NamespaceNotFound: it does not exist or is not visible to the caller.
        :raises errors.Forbidden: it belongs to another project.
        """
        found = self.get_recorded(ctx, namespace)
        require_namespace_mutable(ctx, found)
        return found


class ScopedDefinitions:
    """:class:`DefinitionOperations`, limited like the namespaces that they belong to."""

    def __init__(self, inner: DefinitionOperations, namespaces: ScopedNamespaces) -> None:
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
    """Command name -> function of the caller and the command's arguments, which checks rights.

    Only the service itself may execute the commands of ports whose methods take no caller.
    """
    images = ScopedImages(repositories.images)
    namespaces = ScopedNamespaces(repositories.namespaces)
    scoped = dataclasses.replace(
        repositories,
        images=images,
        members=ScopedMembers(repositories.members, images),
        namespaces=namespaces,
        definitions=ScopedDefinitions(repositories.definitions, namespaces),
    )
    functions: dict[str, Callable[..., Any]] = {"ping": lambda ctx: repositories.ping()}
    for command in protocol.BY_METHOD.values():
        port, _, operation = command.name.partition(".")
        method = getattr(getattr(scoped, port), operation)
        if not command.takes_context:
            functions[command.name] = functools.partial(_as_service, method)
        elif port in _SCOPED_PORTS:
            functions[command.name] = method
        else:
            raise TypeError(f"No class of this module checks the callers of {command.name}.")
    return functions


#: The ports that :func:`authorized_commands` replaces by a class of this module.
_SCOPED_PORTS = frozenset({"images", "members", "namespaces", "definitions"})


def _as_service(method: Callable[..., Any], ctx: Caller, **arguments: Any) -> Any:
    require_service(ctx)
    return method(**arguments)
