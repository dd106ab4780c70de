"""The interfaces between the rooms, one module for a noun; everybody imports them from here.

A room is handed what it talks to and knows it by these alone.  Verbs are what
callers and layers speak, records what the DAL answers.  ``ctx`` is always the
caller (:class:`glance_py.context.RequestContext`).
"""

from __future__ import annotations

from glance_py.domain.claim import ClaimRecords
from glance_py.domain.ports.cached_image import CachedImageRecords
from glance_py.domain.ports.data import Attempt, Data, Download, Upload
from glance_py.domain.ports.image import IMAGE_VERBS, WORK_VERBS, ImageRecords, ImageVerbs, Settle
from glance_py.domain.ports.member import MEMBER_VERBS, MemberRecords, MemberVerbs
from glance_py.domain.ports.metadef import (
    DEFINITION_VERBS,
    NAMESPACE_VERBS,
    DefinitionVerbs,
    NamespaceVerbs,
)
from glance_py.domain.ports.pending import PendingData, PendingRecords
from glance_py.domain.ports.records import Records
from glance_py.domain.ports.task import (
    TASK_VERBS,
    TASK_WORK_VERBS,
    TaskRecords,
    TaskVerbs,
)
from glance_py.domain.ports.usage import UsageRecords

__all__ = [
    "Attempt",
    "CachedImageRecords",
    "ClaimRecords",
    "DEFINITION_VERBS",
    "Data",
    "DefinitionVerbs",
    "Download",
    "IMAGE_VERBS",
    "ImageRecords",
    "ImageVerbs",
    "MEMBER_VERBS",
    "MemberRecords",
    "MemberVerbs",
    "NAMESPACE_VERBS",
    "NamespaceVerbs",
    "PendingData",
    "PendingRecords",
    "Records",
    "Settle",
    "TASK_VERBS",
    "TASK_WORK_VERBS",
    "TaskRecords",
    "TaskVerbs",
    "Upload",
    "UsageRecords",
    "WORK_VERBS",
]
