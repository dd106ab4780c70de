"""The objects of a metadata namespace."""

from __future__ import annotations

import webob

from glance_py.domain.metadef import Object
from glance_py.http.controllers.metadefs.definitions import MetadefController
from glance_py.http.request import Request, json_response
from glance_py.wire.metadef_dump import dump_object, dump_objects
from glance_py.wire.metadef_load import load_object
from glance_py.wire.metadef_query import check_object_query


class MetadefObjectsController(MetadefController[Object]):
    """Objects: named groups of properties."""

    kind = Object

    def index(self, request: Request, namespace: str) -> webob.Response:
        """GET /v2/metadefs/namespaces/{namespace}/objects"""
        check_object_query(request.query_string)
        return json_response(dump_objects(*self._list(request, namespace)))

    def create(self, request: Request, namespace: str) -> webob.Response:
        """POST /v2/metadefs/namespaces/{namespace}/objects"""
        new = load_object(request.read_json_body())
        return json_response(dump_object(*self._create(request, namespace, new)), 201)

    def show(self, request: Request, namespace: str, name: str) -> webob.Response:
        """GET /v2/metadefs/namespaces/{namespace}/objects/{name}"""
        return json_response(dump_object(*self._get(request, namespace, name)))

    def update(self, request: Request, namespace: str, name: str) -> webob.Response:
        """PUT /v2/metadefs/namespaces/{namespace}/objects/{name}"""
        after = load_object(request.read_json_body())
        return json_response(dump_object(*self._update(request, namespace, name, after)))
