"""What this service offers: import methods, stores, limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import webob

from glance_py.domain import errors
from glance_py.http.request import Request, json_response
from glance_py.wire.dump import dumps


class Info:
    """Answers about the service itself."""

    def __init__(self, conf, stores, enforcer, limits) -> None:
        self._stores = stores
        self._enforcer = enforcer
        self._limits = limits
        self._methods = dumps(
            {
                "import-methods": {
                    "description": "Ways in which the data of an image can be imported.",
                    "type": "array",
                    "value": list(conf.enabled_import_methods),
                }
            }
        )

    def import_methods(self, request: Request) -> webob.Response:
        """GET /v2/info/import"""
        return json_response(self._methods)

    def stores(self, request: Request) -> webob.Response:
        """GET /v2/info/stores"""
        self._check_several()
        return json_response(dumps({"stores": list(self._described(detail=False))}))

    def stores_detail(self, request: Request) -> webob.Response:
        """GET /v2/info/stores/detail"""
        self._check_several()
        self._enforcer.check(request.context, "stores_info_detail", {})
        return json_response(dumps({"stores": list(self._described(detail=True))}))

    def _check_several(self) -> None:
        """Of a single store nothing is told, whoever asks."""
        if not self._stores.multi:
            raise errors.NotFound("This service has a single store.")

    def _described(self, *, detail: bool) -> Iterator[dict[str, Any]]:
        for store in self._stores.describe():
            shown: dict[str, Any] = {"id": store.id}
            if store.description:
                shown["description"] = store.description
            # wire: these two are there as strings, or not at all.
            if store.default:
                shown["default"] = "true"
            if store.read_only:
                shown["read-only"] = "true"
            if detail:
                shown.update(type=store.type, properties=store.properties, weight=store.weight)
            yield shown

    def usage(self, request: Request) -> webob.Response:
        """GET /v2/info/usage"""
        usage = self._limits.usage(request.context) if self._limits is not None else {}
        return json_response(dumps({"usage": usage}))
