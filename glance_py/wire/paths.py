"""Paths of Image API v2 that documents and Location headers contain."""

from __future__ import annotations

IMAGES = "/v2/images"
TASKS = "/v2/tasks"
NAMESPACES = "/v2/metadefs/namespaces"
SCHEMAS = "/v2/schemas"
METADEF_SCHEMAS = f"{SCHEMAS}/metadefs"
