"""Layers that emit notifications after the inner layers have done an operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from glance_py.notifications.events import MessageSender, emit, has_events


class _Emitting(Protocol):
    """A layer with the attributes that :func:`_emitting` uses."""

    notifier: MessageSender
    inner: object


class NotifyingLayer:
    """A layer that emits the events of ``glance_py.notifications.events``.

    To be named before the base class of its port.  For each operation of the port whose events
    have the source ``<noun>.<operation>`` the class gets a method that emits them after the inner
    layer has returned.  An operation for which the class has a method of its own is left alone.
    """

    #: What the operations of the port are about, as sources of events name it.
    noun: ClassVar[str]

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        operations: tuple[str, ...] = cls.operations  # type: ignore[attr-defined]
        for operation in operations:
            source = f"{cls.noun}.{operation}"
            if operation not in vars(cls) and has_events(source):
                method = _emitting(source, operation)
                method.__name__ = operation
                method.__qualname__ = f"{cls.__qualname__}.{operation}"
                setattr(cls, operation, method)


def _emitting(source: str, operation: str) -> Callable[..., object]:
    def emitting(layer: _Emitting, *arguments: object) -> object:
        answer = getattr(layer.inner, operation)(*arguments)
        emit(layer.notifier, source, answer, *arguments)
        return answer

    return emitting
