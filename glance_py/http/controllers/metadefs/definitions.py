"""What the controllers of the contents of a namespace share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

import webob

from glance_py.domain.metadef import DefinitionT, Listing, Namespace
from glance_py.domain.ports import DefinitionOperations, NamespaceOperations
from glance_py.http.request import Request, no_content


class MetadefController(Generic[DefinitionT]):
    """The definitions of one ``kind`` in a namespace."""

    kind: type[DefinitionT]

    def __init__(self, namespaces: NamespaceOperations, definitions: DefinitionOperations) -> None:
        self._namespaces = namespaces
        self._definitions = definitions

    def _list(
        self, request: Request, namespace: str, listing: Listing | None = None
    ) -> tuple[Namespace, Sequence[DefinitionT]]:
        """The namespace, and its definitions of this kind."""
        found = self._namespaces.resolve(request.context, namespace)
        return found, self._definitions.list(request.context, found, self.kind, listing)

    def _get(self, request: Request, namespace: str, name: str) -> tuple[Namespace, DefinitionT]:
        """The namespace, and one of its definitions."""
        found = self._namespaces.resolve(request.context, namespace)
        return found, self._definitions.get(request.context, found, self.kind, name)

    def _create(
        self, request: Request, namespace: str, definition: DefinitionT
    ) -> tuple[Namespace, DefinitionT]:
        """The namespace, and ``definition`` as it was recorded in it."""
        found = self._namespaces.resolve(request.context, namespace)
        return found, self._definitions.create(request.context, found, definition)

    def _update(
        self, request: Request, namespace: str, name: str, after: DefinitionT
    ) -> tuple[Namespace, DefinitionT]:
        """The namespace, and the definition ``name`` after it was replaced by ``after``."""
        found = self._namespaces.resolve(request.context, namespace)
        return found, self._definitions.update(request.context, found, name, after)

    def delete(self, request: Request, namespace: str, name: str) -> webob.Response:
        """DELETE /v2/metadefs/namespaces/{namespace}/.../{name}"""
        found = self._namespaces.resolve(request.context, namespace)
        self._definitions.delete(request.context, found, self.kind, name)
        return no_content()

    def clear(self, request: Request, namespace: str) -> webob.Response:
        """DELETE /v2/metadefs/namespaces/{namespace}/..."""
        found = self._namespaces.resolve(request.context, namespace)
        self._definitions.clear(request.context, found, self.kind)
        return no_content()
