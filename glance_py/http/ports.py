"""What the controllers need besides the operations: stores, policies, limits and the cache.

The classes behind these protocols are ``glance_store_py.stores.Stores``,
``glance_py.policies.enforcer.Enforcer``, ``glance_py.limits.UnifiedLimits`` and
``glance_py.cache.image_cache.ImageCache``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from glance_py.domain.cached_image import CachedImage
from glance_py.domain.caller import Caller
from glance_py.domain.ports import (
    DefinitionOperations,
    ImageOperations,
    MemberOperations,
    NamespaceOperations,
    TaskOperations,
)
from glance_py.wire.dump import StoreOrder


class Operations(Protocol):
    """The outermost layer of each port."""

    @property
    def images(self) -> ImageOperations:
        """Operations on images."""

    @property
    def members(self) -> MemberOperations:
        """Operations on the members of an image."""

    @property
    def tasks(self) -> TaskOperations:
        """Operations on tasks."""

    @property
    def namespaces(self) -> NamespaceOperations:
        """Operations on metadata namespaces."""

    @property
    def definitions(self) -> DefinitionOperations:
        """Operations on what a metadata namespace contains."""


class StoreDescription(Protocol):
    """One store, as ``Stores.describe`` describes it; see ``glance_store_py.stores.StoreInfo``."""

    @property
    def id(self) -> str: ...

    @property
    def type(self) -> str: ...

    @property
    def description(self) -> str | None: ...

    @property
    def default(self) -> bool: ...

    @property
    def read_only(self) -> bool: ...

    @property
    def weight(self) -> int: ...

    @property
    def properties(self) -> Mapping[str, object]: ...


class StoreList(StoreOrder, Protocol):
    """The stores of the service."""

    @property
    def ids(self) -> Sequence[str]:
        """Identifiers of the stores that clients may name, in the order of the configuration."""

    def describe(self) -> Sequence[StoreDescription]:
        """The stores with the same identifiers, in the same order."""


class PolicyEnforcer(Protocol):
    """Asks the operator's policy rules."""

    def enforce(self, ctx: Caller, rule: str, target: Mapping[str, object]) -> None:
        """:raises errors.PolicyForbids: ``rule`` does not hold for the caller."""


class ProjectLimits(Protocol):
    """The limits that Keystone holds for projects."""

    def usage(self, ctx: Caller) -> Mapping[str, Mapping[str, int]]:
        """Usage and limit of the caller's project, by the name of the resource."""


class Cache(Protocol):
    """The image cache of this host, by the id of an image."""

    def entries(self) -> Sequence[CachedImage]:
        """The cached images."""

    def queued(self) -> Sequence[str]:
        """The ids of the images that wait to be cached."""

    def is_cached(self, image_id: str) -> bool:
        """True when the whole data of the image is in the cache."""

    def nodes(self, image_id: str) -> Sequence[str]:
        """The hosts that have the image in their cache."""

    def queue(self, image_id: str) -> None:
        """Have an image cached later."""

    def dequeue(self, image_id: str) -> bool:
        """Take an image out of the queue; False when it is not there."""

    def dequeue_all(self) -> int:
        """Empty the queue and return how many images it had."""

    def delete(self, image_id: str) -> bool:
        """Remove an image from the cache; False when it is not there."""

    def delete_all(self) -> int:
        """Remove all images from the cache and return how many it had."""

    def clean(self) -> None:
        """Remove files of fills that failed or stalled."""

    def prune(self) -> tuple[int, int]:
        """Remove images until the cache has its configured size; how many, and their bytes."""
