"""The schema documents of the API."""

from __future__ import annotations

import webob

from glance_py.http.request import Request, json_response
from glance_py.wire.field import Resource
from glance_py.wire.schema import schema_documents


class SchemasController:
    """Schema documents, encoded once per process."""

    def __init__(self, image: Resource) -> None:
        self._documents = schema_documents(image)

    def show(self, request: Request, document: str) -> webob.Response:
        """GET /v2/schemas/{document}"""
        return json_response(self._documents[document])
