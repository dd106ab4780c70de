"""The interfaces between packages, one module for a noun; import them from here.

``XxxOperations`` are the protocols of the layers, ``XxxRepository`` those of the DAL.  The first
argument of every operation, ``ctx``, is the caller.
"""

from __future__ import annotations

from glance_py.domain.claim import ClaimRepository
from glance_py.domain.ports.cached_image import CachedImageRepository
from glance_py.domain.ports.data import Data, Download, Upload, UploadAttempt
from glance_py.domain.ports.image import (
    IMAGE_OPERATIONS,
    INTERNAL_OPERATIONS,
    LOCATED_OPERATIONS,
    CommonImageOperations,
    Finalize,
    ImageOperations,
    ImageRepository,
    InternalImageOperations,
    LocatedImageOperations,
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
    InternalTaskOperations,
    TaskOperations,
    TaskRepository,
)
from glance_py.domain.ports.usage import UsageRepository

__all__ = [
    "CachedImageRepository",
    "ClaimRepository",
    "CommonImageOperations",
    "DEFINITION_OPERATIONS",
    "Data",
    "DefinitionOperations",
    "Download",
    "Finalize",
    "IMAGE_OPERATIONS",
    "INTERNAL_OPERATIONS",
    "INTERNAL_TASK_OPERATIONS",
    "ImageOperations",
    "ImageRepository",
    "InternalImageOperations",
    "InternalTaskOperations",
    "LOCATED_OPERATIONS",
    "LocatedImageOperations",
    "MEMBER_OPERATIONS",
    "MemberOperations",
    "MemberRepository",
    "NAMESPACE_OPERATIONS",
    "NamespaceOperations",
    "PendingData",
    "PendingRepository",
    "Repositories",
    "TASK_OPERATIONS",
    "TaskOperations",
    "TaskRepository",
    "Upload",
    "UploadAttempt",
    "UsageRepository",
]
