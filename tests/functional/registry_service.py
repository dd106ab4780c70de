"""For gabbi: the service of ``service.py`` with its records behind a registry."""

from __future__ import annotations

from tests.functional import service


class Service(service.Service):
    """Leads the same ``application`` to such a service while a sequence runs."""

    behind_registry = True
