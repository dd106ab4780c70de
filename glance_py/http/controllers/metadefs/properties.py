"""The properties of a metadata namespace that belong to no object."""

from __future__ import annotations

import webob

from glance_py.domain import errors
from glance_py.domain.metadef import Association, Property
from glance_py.http.controllers.metadefs.definitions import MetadefController
from glance_py.http.request import Request, json_response
from glance_py.wire.metadef_dump import dump_properties, dump_property
from glance_py.wire.metadef_load import load_property
from glance_py.wire.metadef_query import load_resource_type


class MetadefPropertiesController(MetadefController[Property]):
    """Properties that belong to no object."""

    kind = Property

    def index(self, request: Request, namespace: str) -> webob.Response:
        """GET /v2/metadefs/namespaces/{namespace}/properties"""
        return json_response(dump_properties(self._list(request, namespace)[1]))

    def create(self, request: Request, namespace: str) -> webob.Response:
        """POST /v2/metadefs/namespaces/{namespace}/properties"""
        new = load_property(request.read_json_body())
        return json_response(dump_property(self._create(request, namespace, new)[1]), 201)

    def show(self, request: Request, namespace: str, name: str) -> webob.Response:
        """GET /v2/metadefs/namespaces/{namespace}/properties/{name}

        With a query parameter ``resource_type``, ``name`` has the prefix of that association.
        """
        resource_type = load_resource_type(request.query_string)
        found = self._namespaces.resolve(request.context, namespace)
        property_name = name
        if resource_type:
            association = self._definitions.get(request.context, found, Association, resource_type)
            prefix = association.prefix or ""
            # wire: an association without a prefix answers 404, too.
            if not prefix or not name.startswith(prefix):
                raise errors.NotFound(
                    f"The names of properties begin with '{prefix}' on "
                    f"resources of type {resource_type}."
                )
            property_name = name.removeprefix(prefix)
        return json_response(
            dump_property(self._definitions.get(request.context, found, Property, property_name))
        )

    def update(self, request: Request, namespace: str, name: str) -> webob.Response:
        """PUT /v2/metadefs/namespaces/{namespace}/properties/{name}"""
        after = load_property(request.read_json_body())
        return json_response(dump_property(self._update(request, namespace, name, after)[1]))
