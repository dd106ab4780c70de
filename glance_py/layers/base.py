"""What all proxy layers share: a room below, and verbs bound straight to it.

A layer overrides the verbs that it has an opinion on.  For the others the
method of the room below is bound to the layer itself when it is built, so that
passing through a layer without an opinion costs nothing.
"""

from __future__ import annotations

from typing import Any


class Proxy:
    """A layer in front of ``below``; subclasses say which ``verbs`` exist."""

    verbs: tuple[str, ...] = ()
    below: Any

    @classmethod
    def wanted(cls, services: Any) -> bool:
        """Is this layer switched on?"""
        return True

    @classmethod
    def build(cls, below: Any, services: Any) -> Any:
        """This layer in front of ``below``, or ``below`` itself when it is switched off."""
        return cls(below, services) if cls.wanted(services) else below

    def __init__(self, below: Any, services: Any = None) -> None:
        self.below = below
        for verb in self.verbs:
            if not hasattr(type(self), verb):
                setattr(self, verb, getattr(below, verb))

    @classmethod
    def overrides(cls) -> tuple[str, ...]:
        """The verbs on which this layer has an opinion, for ``glance-manage layers``."""
        return tuple(verb for verb in cls.verbs if hasattr(cls, verb))
