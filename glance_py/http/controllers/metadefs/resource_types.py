"""Resource types, and the associations of a namespace with them."""

from __future__ import annotations

import webob

from glance_py.domain.metadef import Association
from glance_py.http.controllers.metadefs.definitions import MetadefController
from glance_py.http.request import Request, json_response
from glance_py.wire.metadef_dump import (
    dump_associations,
    dump_definition,
    dump_resource_types,
)
from glance_py.wire.metadef_load import load_association


class MetadefResourceTypesController(MetadefController[Association]):
    """The associations of a namespace, and all resource types."""

    kind = Association

    def known(self, request: Request) -> webob.Response:
        """GET /v2/metadefs/resource_types"""
        return json_response(dump_resource_types(self._namespaces.resource_types(request.context)))

    def index(self, request: Request, namespace: str) -> webob.Response:
        """GET /v2/metadefs/namespaces/{namespace}/resource_types"""
        return json_response(dump_associations(self._list(request, namespace)[1]))

    def create(self, request: Request, namespace: str) -> webob.Response:
        """POST /v2/metadefs/namespaces/{namespace}/resource_types"""
        new = load_association(request.read_json_body())
        return json_response(dump_definition(self._create(request, namespace, new)[1]), 201)
