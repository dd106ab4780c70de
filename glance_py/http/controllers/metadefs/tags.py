"""The tags of a metadata namespace, one by one and many at once."""

from __future__ import annotations

import webob

from glance_py.domain.metadef import Tag
from glance_py.http.controllers.metadefs.definitions import MetadefController
from glance_py.http.request import Request, json_response
from glance_py.wire.metadef_dump import dump_definition, dump_tags
from glance_py.wire.metadef_load import load_append, load_tag, load_tag_name, load_tags
from glance_py.wire.metadef_query import load_tag_query


class MetadefTagsController(MetadefController[Tag]):
    """Words that a namespace offers for resources."""

    kind = Tag

    def index(self, request: Request, namespace: str) -> webob.Response:
        """GET /v2/metadefs/namespaces/{namespace}/tags"""
        listing = load_tag_query(request.query_string)
        return json_response(dump_tags(self._list(request, namespace, listing)[1]))

    def create_all(self, request: Request, namespace: str) -> webob.Response:
        """POST /v2/metadefs/namespaces/{namespace}/tags

        The tags replace those of the namespace, unless X-Openstack-Append is true.
        """
        tags = load_tags(request.read_json_body())
        # wire: an empty list changes nothing; DELETE removes all tags.
        append = not tags or load_append(request.header("X-Openstack-Append"))
        found = self._namespaces.resolve(request.context, namespace)
        return json_response(
            dump_tags(self._definitions.create_all(request.context, found, Tag, tags, append)), 201
        )

    def create(self, request: Request, namespace: str, name: str) -> webob.Response:
        """POST /v2/metadefs/namespaces/{namespace}/tags/{name}"""
        new = load_tag_name(name)
        return json_response(dump_definition(self._create(request, namespace, new)[1]), 201)

    def show(self, request: Request, namespace: str, name: str) -> webob.Response:
        """GET /v2/metadefs/namespaces/{namespace}/tags/{name}"""
        return json_response(dump_definition(self._get(request, namespace, name)[1]))

    def update(self, request: Request, namespace: str, name: str) -> webob.Response:
        """PUT /v2/metadefs/namespaces/{namespace}/tags/{name}"""
        after = load_tag(request.read_json_body())
        return json_response(dump_definition(self._update(request, namespace, name, after)[1]))
