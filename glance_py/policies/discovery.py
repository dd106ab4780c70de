"""Rules about requests for information on the deployment."""

from __future__ import annotations

from glance_py.policies.base import ADMIN, ADMIN_OR_SERVICE, rule

RULES = (
    rule(
        "stores_info_detail",
        ADMIN_OR_SERVICE,
        "See the stores with their properties",
        "GET /v2/info/stores/detail",
        deprecated_check=ADMIN,
        deprecated_since="2025.1",
    ),
)
