"""The interfaces between the rooms, one module for a noun; everybody imports them from here.

A room is handed what it talks to and knows it by these alone.  Operations are what
callers and layers speak, records what the DAL answers.  ``ctx`` is always the
caller (:class:`glance_py.context.RequestContext`).
"""

from __future__ import annotations

from glance_py.domain.claim import ClaimRepository
from glance_py.domain.ports.cached_image import CachedImageRepository
from glance_py.domain.ports.data import Data, Download, Upload, UploadAttempt
from glance_py.domain.ports.image import (
    IMAGE_OPERATIONS,
    INTERNAL_OPERATIONS,
    Finalize,
    ImageOperations,
    ImageRepository,
)
from glance_py.domain.ports.member import MEMBER_OPERATIONS, MemberOperations, MemberRepository
from glance_py.domain.ports.metadef import (
    DEFINITION_OPERATIONS,
    NAMESPACE_OPERATIONS,
    DefinitionOperations,
    NamespaceOperations,
)
from glance_py.domain.ports.pending import PendingData, PendingRepository
from glance_py.domain.ports.repositories import Repositories
from glance_py.domain.ports.task import (
    INTERNAL_TASK_OPERATIONS,
    TASK_OPERATIONS,
    TaskOperations,
    TaskRepository,
)
from glance_py.domain.ports.usage import UsageRepository

__all__ = [
    "UploadAttempt",
    "CachedImageRepository",
    "ClaimRepository",
    "DEFINITION_OPERATIONS",
    "Data",
    "DefinitionOperations",
    "Download",
    "IMAGE_OPERATIONS",
    "ImageRepository",
    "ImageOperations",
    "MEMBER_OPERATIONS",
    "MemberRepository",
    "MemberOperations",
    "NAMESPACE_OPERATIONS",
    "NamespaceOperations",
    "PendingData",
    "PendingRepository",
    "Repositories",
    "Finalize",
    "TASK_OPERATIONS",
    "INTERNAL_TASK_OPERATIONS",
    "TaskRepository",
    "TaskOperations",
    "Upload",
    "UsageRepository",
    "INTERNAL_OPERATIONS",
]
