"""What this service offers: import methods, stores, limits."""

from __future__ import annotations

from collections.abc import Iterator

import webob

from glance_py.domain import errors
from glance_py.domain.json_types import JsonDocument
from glance_py.http.ports import PolicyEnforcer, ProjectLimits, StoreList
from glance_py.http.request import Request, json_response
from glance_py.settings import ApiSettings
from glance_py.wire.dump import dumps


class InfoController:
    """Answers about the service itself."""

    def __init__(
        self,
        api: ApiSettings,
        stores: StoreList,
        enforcer: PolicyEnforcer,
        limits: ProjectLimits | None,
    ) -> None:
        self._stores = stores
        self._enforcer = enforcer
        self._limits = limits
        self._methods = dumps(
            {
                "import-methods": {
                    "description": "Ways in which the data of an image can be imported.",
                    "type": "array",
                    "value": list(api.enabled_import_methods),
                }
            }
        )

    def import_methods(self, request: Request) -> webob.Response:
        """GET /v2/info/import"""
        return json_response(self._methods)

    def stores(self, request: Request) -> webob.Response:
        """GET /v2/info/stores"""
        self._require_multiple_stores()
        return json_response(dumps({"stores": list(self._store_documents(detail=False))}))

    def stores_detail(self, request: Request) -> webob.Response:
        """GET /v2/info/stores/detail"""
        self._require_multiple_stores()
        self._enforcer.enforce(request.context, "stores_info_detail", {})
        return json_response(dumps({"stores": list(self._store_documents(detail=True))}))

    def _require_multiple_stores(self) -> None:
        """:raises errors.NotFound: there is a single store, which clients cannot choose."""
        if not self._stores.multi:
            raise errors.NotFound("This service has a single store.")

    def _store_documents(self, *, detail: bool) -> Iterator[JsonDocument]:
        for store in self._stores.describe():
            document: JsonDocument = {"id": store.id}
            if store.description:
                document["description"] = store.description
            # wire: these two are strings, and left out when they are false.
            if store.default:
                document["default"] = "true"
            if store.read_only:
                document["read-only"] = "true"
            if detail:
                document.update(type=store.type, properties=store.properties, weight=store.weight)
            yield document

    def usage(self, request: Request) -> webob.Response:
        """GET /v2/info/usage"""
        usage = self._limits.usage(request.context) if self._limits is not None else {}
        return json_response(dumps({"usage": usage}))
