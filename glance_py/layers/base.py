"""The base classes of proxy layers, one per port.

A layer stands in front of ``inner``, an object with the operations of the same port, and
overrides the operations that it has to do with.  The base class of the port writes a delegation
for every operation, so that a type checker compares the signatures of overrides.  When a layer
is built, the operations that it does not override are bound to the method of the inner layer, so
that a call costs nothing for passing through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from glance_py.domain.caller import Caller
from glance_py.domain.change import ImageChange
from glance_py.domain.image import Image, Location
from glance_py.domain.importing import ImportRequest
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
    DEFINITION_OPERATIONS,
    IMAGE_OPERATIONS,
    INTERNAL_OPERATIONS,
    INTERNAL_TASK_OPERATIONS,
    LOCATED_OPERATIONS,
    MEMBER_OPERATIONS,
    NAMESPACE_OPERATIONS,
    TASK_OPERATIONS,
    CommonImageOperations,
    Data,
    DefinitionOperations,
    Download,
    Finalize,
    ImageOperations,
    ImageRepository,
    InternalImageOperations,
    InternalTaskOperations,
    LocatedImageOperations,
    MemberOperations,
    NamespaceOperations,
    TaskOperations,
    Upload,
)
from glance_py.domain.query import ImageQuery, Page
from glance_py.domain.quota import QuotaReservation
from glance_py.domain.registration import Registration
from glance_py.domain.task import Task, TaskQuery

PortT = TypeVar("PortT")
CommonImagesT = TypeVar("CommonImagesT", bound=CommonImageOperations)
LocatedImagesT = TypeVar("LocatedImagesT", bound=LocatedImageOperations)
TasksT = TypeVar("TasksT", bound=TaskOperations)


class Proxy(Generic[PortT]):
    """A layer in front of ``inner``, which has the operations of the port ``PortT``.

    A subclass has a class method ``build(inner, deps)``, which gives the constructor what it
    needs of :class:`glance_py.dependencies.Dependencies`, and returns ``inner`` itself when the
    configuration disables the layer.
    """

    #: The names of the operations of the port.
    operations: ClassVar[tuple[str, ...]] = ()

    def __init__(self, inner: PortT) -> None:
        self.inner = inner
        overridden = self.overrides()
        for operation in self.operations:
            if operation not in overridden:
                setattr(self, operation, getattr(inner, operation))

    @classmethod
    def overrides(cls) -> tuple[str, ...]:
        """The operations that this layer does not only pass on; for ``glance-manage layers``."""
        return tuple(
            name for name in cls.operations if not _is_delegation(getattr(cls, name, None))
        )


def _is_delegation(method: object) -> bool:
    """True for the methods of the base classes in this module."""
    return getattr(method, "__module__", None) == __name__


class _CommonImageLayer(Proxy[CommonImagesT]):
    """The delegations of the operations that both ports of images have."""

    def get(self, ctx: Caller, image_id: str) -> Image:
        return self.inner.get(ctx, image_id)

    def resolve(self, ctx: Caller, image_id: str) -> Image:
        return self.inner.resolve(ctx, image_id)

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        return self.inner.list(ctx, query)

    def update(self, ctx: Caller, image: Image, change: ImageChange) -> Image:
        return self.inner.update(ctx, image, change)

    def delete(self, ctx: Caller, image: Image) -> None:
        self.inner.delete(ctx, image)

    def upload(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self.inner.upload(ctx, image, upload)

    def stage(self, ctx: Caller, image: Image, upload: Upload) -> Image:
        return self.inner.stage(ctx, image, upload)

    def download(self, ctx: Caller, image: Image, request: Download) -> Data | None:
        return self.inner.download(ctx, image, request)

    def set_status(self, ctx: Caller, image: Image, to: str) -> Image:
        return self.inner.set_status(ctx, image, to)


class _LocatedImageLayer(_CommonImageLayer[LocatedImagesT]):
    """The delegations of the operations of a request, without ``import_``."""

    def create(self, ctx: Caller, image: Image) -> Image:
        return self.inner.create(ctx, image)

    def add_location(self, ctx: Caller, image: Image, registration: Registration) -> None:
        self.inner.add_location(ctx, image, registration)

    def list_locations(self, ctx: Caller, image: Image) -> Sequence[Location]:
        return self.inner.list_locations(ctx, image)

    def delete_from_store(self, ctx: Caller, image: Image, store: str) -> Image:
        return self.inner.delete_from_store(ctx, image, store)


class ImageLayer(_LocatedImageLayer[ImageOperations]):
    """A layer on the way of a request about images."""

    operations = IMAGE_OPERATIONS

    def import_(self, ctx: Caller, image: Image, request: ImportRequest) -> None:
        self.inner.import_(ctx, image, request)


class ImportAdapter(_LocatedImageLayer[LocatedImageOperations]):
    """The base of the layer that adds ``import_`` to the operations of a request."""

    operations = IMAGE_OPERATIONS


class LocationImportAdapter(_CommonImageLayer[InternalImageOperations]):
    """The base of the layer that adds the operations on locations to the internal operations."""

    operations = LOCATED_OPERATIONS

    def create(self, ctx: Caller, image: Image) -> Image:
        return self.inner.create(ctx, image)


class InternalImageLayer(_CommonImageLayer[InternalImageOperations]):
    """A layer behind the request layers, which background work passes too."""

    operations = INTERNAL_OPERATIONS

    def create(
        self, ctx: Caller, image: Image, reservation: QuotaReservation | None = None
    ) -> Image:
        return self.inner.create(ctx, image, reservation)

    def add_copy(self, ctx: Caller, image: Image, upload: Upload, finalize: Finalize) -> Image:
        return self.inner.add_copy(ctx, image, upload, finalize)

    def remove_copy(
        self, ctx: Caller, image: Image, location: Location, change: ImageChange
    ) -> Image:
        return self.inner.remove_copy(ctx, image, location, change)


class ImageAdapter(Proxy[ImageRepository]):
    """The base of the innermost layer, which implements the internal operations by the DAL."""

    operations = INTERNAL_OPERATIONS

    def get(self, ctx: Caller, image_id: str) -> Image:
        return self.inner.get(ctx, image_id)

    def list(self, ctx: Caller, query: ImageQuery) -> Page:
        return self.inner.list(ctx, query)

    def create(
        self, ctx: Caller, image: Image, reservation: QuotaReservation | None = None
    ) -> Image:
        return self.inner.create(ctx, image, reservation)


class MemberLayer(Proxy[MemberOperations]):
    """A layer for the members of an image."""

    operations = MEMBER_OPERATIONS

    def list(self, ctx: Caller, image: Image) -> Sequence[Member]:
        return self.inner.list(ctx, image)

    def get(self, ctx: Caller, image: Image, member_id: str) -> Member:
        return self.inner.get(ctx, image, member_id)

    def resolve(self, ctx: Caller, image: Image, member_id: str) -> Member:
        return self.inner.resolve(ctx, image, member_id)

    def create(self, ctx: Caller, image: Image, member_id: str) -> Member:
        return self.inner.create(ctx, image, member_id)

    def update(self, ctx: Caller, image: Image, member: Member, status: str) -> Member:
        return self.inner.update(ctx, image, member, status)

    def delete(self, ctx: Caller, image: Image, member: Member) -> None:
        self.inner.delete(ctx, image, member)


class _CommonTaskLayer(Proxy[TasksT]):
    """The delegations of the operations that both ports of tasks have."""

    def list(self, ctx: Caller, query: TaskQuery) -> Sequence[Task]:
        return self.inner.list(ctx, query)

    def get(self, ctx: Caller, task_id: str) -> Task:
        return self.inner.get(ctx, task_id)

    def create(self, ctx: Caller, task: Task) -> Task:
        return self.inner.create(ctx, task)

    def list_for_image(self, ctx: Caller, image: Image) -> Sequence[Task]:
        return self.inner.list_for_image(ctx, image)


class TaskLayer(_CommonTaskLayer[TaskOperations]):
    """A layer on the way of a request about tasks."""

    operations = TASK_OPERATIONS


class InternalTaskLayer(_CommonTaskLayer[InternalTaskOperations]):
    """A layer behind the request layers of tasks, which the executor of tasks passes too."""

    operations = INTERNAL_TASK_OPERATIONS

    def start(self, task: Task) -> Task:
        return self.inner.start(task)

    def set_message(self, task: Task, message: str) -> Task:
        return self.inner.set_message(task, message)

    def succeed(self, task: Task, result: Mapping[str, object], message: str) -> Task:
        return self.inner.succeed(task, result, message)

    def fail(self, task: Task, message: str) -> Task:
        return self.inner.fail(task, message)

    def notify_run(self, task: Task) -> None:
        self.inner.notify_run(task)


class NamespaceLayer(Proxy[NamespaceOperations]):
    """A layer for metadata namespaces."""

    operations = NAMESPACE_OPERATIONS

    def get(self, ctx: Caller, name: str) -> Namespace:
        return self.inner.get(ctx, name)

    def resolve(self, ctx: Caller, name: str) -> Namespace:
        return self.inner.resolve(ctx, name)

    def list(self, ctx: Caller, query: NamespaceQuery) -> NamespacePage:
        return self.inner.list(ctx, query)

    def create(self, ctx: Caller, namespace: Namespace) -> Namespace:
        return self.inner.create(ctx, namespace)

    def update(self, ctx: Caller, namespace: Namespace, after: Namespace) -> Namespace:
        return self.inner.update(ctx, namespace, after)

    def delete(self, ctx: Caller, namespace: Namespace) -> None:
        self.inner.delete(ctx, namespace)

    def resource_types(self, ctx: Caller) -> Sequence[ResourceType]:
        return self.inner.resource_types(ctx)


class DefinitionLayer(Proxy[DefinitionOperations]):
    """A layer for what a metadata namespace holds."""

    operations = DEFINITION_OPERATIONS

    def list(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        listing: Listing | None = None,
    ) -> Sequence[DefinitionT]:
        return self.inner.list(ctx, namespace, kind, listing)

    def get(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        return self.inner.get(ctx, namespace, kind, name)

    def create(self, ctx: Caller, namespace: Namespace, definition: DefinitionT) -> DefinitionT:
        return self.inner.create(ctx, namespace, definition)

    def create_all(
        self,
        ctx: Caller,
        namespace: Namespace,
        kind: type[DefinitionT],
        definitions: Sequence[DefinitionT],
        append: bool,
    ) -> Sequence[DefinitionT]:
        return self.inner.create_all(ctx, namespace, kind, definitions, append)

    def update(
        self, ctx: Caller, namespace: Namespace, name: str, after: DefinitionT
    ) -> DefinitionT:
        return self.inner.update(ctx, namespace, name, after)

    def delete(
        self, ctx: Caller, namespace: Namespace, kind: type[DefinitionT], name: str
    ) -> DefinitionT:
        return self.inner.delete(ctx, namespace, kind, name)

    def clear(self, ctx: Caller, namespace: Namespace, kind: Kind) -> None:
        self.inner.clear(ctx, namespace, kind)
