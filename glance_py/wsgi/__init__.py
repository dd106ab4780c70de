"""The service for WSGI servers: ``glance_py.wsgi:application``."""

from __future__ import annotations

from wsgiref.types import WSGIApplication


def __getattr__(name: str) -> WSGIApplication:
    """Build ``application`` when a server first reads it, not when a submodule is imported.

    :raises AttributeError: another name.
    """
    if name == "application":
        from glance_py.app import wsgi_application

        return wsgi_application()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
