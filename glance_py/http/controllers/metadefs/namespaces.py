"""Metadata namespaces: list, create, show, replace, delete."""

from __future__ import annotations

import re
import urllib.parse

import webob

from glance_py.domain.ports import NamespaceOperations
from glance_py.http.request import Request, json_response, no_content
from glance_py.settings import ApiSettings
from glance_py.wire import paths
from glance_py.wire.metadef_dump import dump_namespace, dump_namespaces
from glance_py.wire.metadef_load import load_namespace
from glance_py.wire.metadef_query import load_namespace_query, load_resource_type

#: wire: a Location has the name as it is, except for characters that a header cannot have
#: (PEP 3333); those are percent-encoded.
_NOT_IN_A_HEADER = re.compile("[\x00-\x1f\x7f]|[^\x00-\xff]")


class MetadefNamespacesController:
    """Namespaces as a whole."""

    def __init__(self, namespaces: NamespaceOperations, api: ApiSettings) -> None:
        self._namespaces = namespaces
        self._limits = api.limit_param_default, api.api_limit_max

    def index(self, request: Request) -> webob.Response:
        """GET /v2/metadefs/namespaces"""
        page_request = load_namespace_query(request.query_string, *self._limits)
        page = self._namespaces.list(request.context, page_request.query)
        found = page.namespaces
        next_page = page_request.page_after(found[-1].name) if page.full and found else None
        return json_response(dump_namespaces(found, page_request.first_page, next_page))

    def create(self, request: Request) -> webob.Response:
        """POST /v2/metadefs/namespaces"""
        namespace = load_namespace(request.context, request.read_json_body())
        created = self._namespaces.create(request.context, namespace)
        name = _NOT_IN_A_HEADER.sub(lambda found: urllib.parse.quote(found.group()), created.name)
        location = f"{paths.NAMESPACES}/{name}"
        return json_response(dump_namespace(created), 201, (("Location", location),))

    def show(self, request: Request, namespace: str) -> webob.Response:
        """GET /v2/metadefs/namespaces/{namespace}"""
        resource_type = load_resource_type(request.query_string)
        found = self._namespaces.get(request.context, namespace)
        return json_response(dump_namespace(found, resource_type))

    def update(self, request: Request, namespace: str) -> webob.Response:
        """PUT /v2/metadefs/namespaces/{namespace}"""
        after = load_namespace(request.context, request.read_json_body())
        found = self._namespaces.resolve(request.context, namespace)
        return json_response(dump_namespace(self._namespaces.update(request.context, found, after)))

    def delete(self, request: Request, namespace: str) -> webob.Response:
        """DELETE /v2/metadefs/namespaces/{namespace}"""
        found = self._namespaces.resolve(request.context, namespace)
        self._namespaces.delete(request.context, found)
        return no_content()
