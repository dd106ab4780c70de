"""Every notification of the service: its event type, payload, priority and source.

Event types and payloads are those of Glance's notifications.  The notifier layers emit what
stands here; the page ``doc/source/admin/notifications.md`` and the check of
``disabled_notifications`` use the same table.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from glance_py.domain.caller import Caller
from glance_py.domain.image import Image
from glance_py.domain.member import Member
from glance_py.domain.metadef import (
    Association,
    Definition,
    Kind,
    Namespace,
    Object,
    Property,
    Tag,
)
from glance_py.domain.ports import Upload
from glance_py.domain.task import Task, TaskStatus
from glance_py.notifications.metadef_payloads import definition_payload, namespace_payload
from glance_py.notifications.payloads import (
    data_payload,
    image_payload,
    member_payload,
    send_payload,
    task_payload,
)

INFO, ERROR = "info", "error"

#: The body of a notification: a mapping, or a sentence for a failed upload.
Payload = Mapping[str, object] | str


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One notification.

    name
        The event type.
    source
        What emits it.  ``images.create`` and the like: the operation has succeeded.
        ``upload.saving`` and the like: an upload has made the step, see ``Upload.on_step``.
    payload
        Makes the payload of the facts of the source.  For an operation these are its answer and
        its arguments.
    priority
        INFO or ERROR.
    kind
        For metadata definitions: the kind that the event is about.
    is_due
        Returns, for the same facts, whether the event is emitted; None is always.
    """

    name: str
    source: str
    payload: Callable[..., Payload]
    priority: str = INFO
    kind: Kind | None = None
    is_due: Callable[..., bool] | None = None


def _image(image: Image, *_facts: object) -> Payload:
    return image_payload(image)


def _deleted_image(_answer: None, _ctx: Caller, image: Image) -> Payload:
    return image_payload(image, deleted=True)


def _status_changed(after: Image, _ctx: Caller, before: Image, _to: str) -> bool:
    return after.status != before.status


def _prepared(image: Image, upload: Upload, default_store: str | None) -> Payload:
    payload = data_payload(image)
    if default_store:  # the service has several stores
        payload["backend"] = upload.store or default_store
    return payload


def _uploaded(image: Image, *_facts: object) -> Payload:
    return data_payload(image)


def _failed_upload(image: Image, reason: str) -> Payload:
    # wire: a sentence, where every other payload is a mapping.
    return f"Failed to upload image data for image {image.id}: {reason}"


_IMAGE_EVENTS = (
    Event("image.create", "images.create", _image),
    Event("image.update", "images.update", _image),
    Event("image.delete", "images.delete", _deleted_image),
    Event("image.update", "images.set_status", _image, is_due=_status_changed),
    Event("image.update", "images.stage", _image),
    Event("image.update", "images.remove_copy", _image),
    Event("image.update", "upload.saving", _image),
    Event("image.update", "upload.uploading", _image),
    Event("image.prepare", "upload.prepare", _prepared),
    Event("image.upload", "upload.upload", _uploaded),
    Event("image.activate", "upload.activate", _image),
    Event("image.update", "upload.active", _image),
    Event("image.update", "upload.queued", _image),
    Event("image.upload", "upload.failed", _failed_upload, ERROR),
    Event("image.send", "download.complete", send_payload),
    Event("image.send", "download.incomplete", send_payload, ERROR),
)


def _member(member: Member, *_arguments: object) -> Payload:
    return member_payload(member)


def _deleted_member(_answer: None, _ctx: Caller, _image: Image, member: Member) -> Payload:
    return member_payload(member, deleted=True)


_MEMBER_EVENTS = (
    Event("image.member.create", "members.create", _member),
    Event("image.member.update", "members.update", _member),
    Event("image.member.delete", "members.delete", _deleted_member),
)


def _task(task: Task, *_arguments: object) -> Payload:
    return task_payload(task)


def _run_task(_answer: None, task: Task) -> Payload:
    # wire: the task as it was before it was worked on.
    return task_payload(dataclasses.replace(task, status=TaskStatus.PENDING))


_TASK_EVENTS = (
    Event("task.create", "tasks.create", _task),
    Event("task.processing", "tasks.start", _task),
    Event("task.success", "tasks.succeed", _task),
    Event("task.failure", "tasks.fail", _task),
    Event("task.run", "tasks.notify_run", _run_task),
)


def _namespace(namespace: Namespace, *_arguments: object) -> Payload:
    return namespace_payload(namespace)


def _updated_namespace(after: Namespace, _ctx: Caller, before: Namespace, _new: object) -> Payload:
    return namespace_payload(after, old=before.name)


def _deleted_namespace(_answer: None, _ctx: Caller, namespace: Namespace) -> Payload:
    return namespace_payload(namespace, deleted=True)


def _definition(namespace: Namespace, definition: Definition) -> Payload:
    return definition_payload(namespace, definition)


def _updated_definition(namespace: Namespace, definition: Definition, old: str) -> Payload:
    return definition_payload(namespace, definition, old=old)


def _deleted_definition(namespace: Namespace, definition: Definition) -> Payload:
    return definition_payload(namespace, definition, deleted=True)


#: Kind -> first part of its event types, and of the one for the removal of all of them.
_KIND_NAMES: Mapping[Kind, tuple[str, str | None]] = {
    Association: ("metadef_resource_type", None),
    Property: ("metadef_property", "delete_properties"),
    Object: ("metadef_object", "delete_objects"),
    Tag: ("metadef_tag", "delete_tags"),
}


def _definition_events(kind: Kind, noun: str, clear: str | None) -> Iterable[Event]:
    yield Event(f"{noun}.create", "definitions.create", _definition, kind=kind)
    if kind is not Association:  # the API does not offer it
        yield Event(f"{noun}.update", "definitions.update", _updated_definition, kind=kind)
    yield Event(f"{noun}.delete", "definitions.delete", _deleted_definition, kind=kind)
    if clear is not None:
        yield Event(f"metadef_namespace.{clear}", "definitions.clear", _namespace, kind=kind)


_METADEF_EVENTS = (
    Event("metadef_namespace.create", "namespaces.create", _namespace),
    Event("metadef_namespace.update", "namespaces.update", _updated_namespace),
    Event("metadef_namespace.delete", "namespaces.delete", _deleted_namespace),
    *(event for kind, names in _KIND_NAMES.items() for event in _definition_events(kind, *names)),
)

#: All notifications.
EVENTS: tuple[Event, ...] = (*_IMAGE_EVENTS, *_MEMBER_EVENTS, *_TASK_EVENTS, *_METADEF_EVENTS)

#: The values of ``disabled_notifications`` that mean something: event types, and their part
#: before the first dot.
DISABLEABLE = frozenset(
    name for event in EVENTS for name in (event.name, event.name.partition(".")[0])
)


class MessageSender(Protocol):
    """Sends notifications; ``notifier.Notifier`` is one."""

    def info(self, event: str, payload: object) -> None: ...

    def error(self, event: str, payload: object) -> None: ...


_BY_SOURCE: dict[tuple[str, Kind | None], list[Event]] = collections.defaultdict(list)
for _event in EVENTS:
    _BY_SOURCE[_event.source, _event.kind].append(_event)


def has_events(source: str) -> bool:
    """True when a source that is no metadata definition emits something."""
    return (source, None) in _BY_SOURCE


def emit(sender: MessageSender, source: str, *facts: object, kind: Kind | None = None) -> None:
    """Send the notifications of a source.

    :param facts: what the payloads of its events are made of.
    :param kind: for metadata definitions, the kind that the operation was about.
    """
    for event in _BY_SOURCE.get((source, kind), ()):
        if event.is_due is None or event.is_due(*facts):
            send = sender.error if event.priority == ERROR else sender.info
            send(event.name, event.payload(*facts))
