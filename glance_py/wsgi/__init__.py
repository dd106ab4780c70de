"""The service for WSGI servers: ``glance_py.wsgi:application``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Build the application when a server first asks for it, not when something is imported."""
    if name == "application":
        from glance_py.app import wsgi_application

        return wsgi_application()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
