"""What the layers that announce share: the way out, and that they are left out when it is shut."""

from __future__ import annotations

from typing import Any

from glance_py.layers.base import Proxy


class AnnouncingProxy(Proxy):
    """A layer that tells listeners, through ``_notifier``, what the layers below have done."""

    def __init__(self, below: Any, services: Any) -> None:
        super().__init__(below)
        self._notifier = services.notifier

    @classmethod
    def wanted(cls, services: Any) -> bool:
        """Does anybody listen?"""
        return services.notifier.enabled
