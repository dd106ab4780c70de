"""What the layers that announce share: the way out, and that they are left out when it is shut."""

from __future__ import annotations

from typing import Any

from glance_py.layers.base import Proxy


class NotifyingProxy(Proxy):
    """A layer that tells listeners, through ``_notifier``, what the inner layers have done."""

    def __init__(self, inner: Any, deps: Any) -> None:
        super().__init__(inner)
        self._notifier = deps.notifier

    @classmethod
    def is_enabled(cls, deps: Any) -> bool:
        """Does anybody listen?"""
        return deps.notifier.enabled
