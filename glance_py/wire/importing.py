"""The request to import the data of an image, and the description of imports for clients.

wire: the body has no schema in Image API v2; unknown keys are ignored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence

from glance_py.domain import errors
from glance_py.domain.importing import (
    GLANCE_DOWNLOAD,
    WEB_DOWNLOAD,
    ImportRequest,
)
from glance_py.domain.json_types import JsonDocument, JsonObject
from glance_py.domain.uuids import is_uuid
from glance_py.wire.dump import dumps
from glance_py.wire.load import parse_object

#: Algorithms of the digest with which a client may have a download compared.
CHECKSUM_ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512")


def load_import(body: bytes, enabled: Sequence[str]) -> ImportRequest:
    """The import that a request body describes; :func:`load_method_and_stores` checks the rest.

    :param enabled: the methods that the configuration offers.
    :raises errors.Invalid: the method is missing or unknown, or a flag is not boolean.
    """
    document = parse_object(body)
    method = document.get("method")
    if not isinstance(method, Mapping) or not method.get("name"):
        raise errors.Invalid('The name of the import method is missing: {"method": {"name": ...}}.')
    name = method["name"]
    if not isinstance(name, str) or name not in enabled:
        raise errors.Invalid(f"Unknown import method name '{name}'.")
    for key in ("all_stores", "all_stores_must_succeed"):
        if not isinstance(document.get(key, False), bool):
            raise errors.Invalid(f"'{key}' must be true or false.")
    return ImportRequest(
        method_name=name,
        method=method,
        document=document,
        all_stores=document.get("all_stores", False),
        all_must_succeed=document.get("all_stores_must_succeed", True),
    )


def load_method_and_stores(request: ImportRequest, header: str | None) -> ImportRequest:
    """The same request with the arguments of its method checked, and with its stores.

    wire: the status of the image is checked before any of this, and errors in the stores come
    after all others, so that they are returned as ``store_error``.

    :param header: the value of X-Image-Meta-Store, None without it.
    :raises errors.Invalid: an argument of the method is missing or malformed.
    """
    method = dict(request.method)
    if request.method_name == WEB_DOWNLOAD:
        uri = method.get("uri")
        if not uri or not isinstance(uri, str):
            raise errors.Invalid("web-download needs the 'uri' to download from.")
        _check_checksum(method)
    elif request.method_name == GLANCE_DOWNLOAD:
        _check_glance_download(method)
        method.setdefault("glance_service_interface", "public")
    try:
        return dataclasses.replace(request, method=method, stores=_stores(request, header))
    except errors.Invalid as error:
        return dataclasses.replace(request, method=method, store_error=error)


def _stores(request: ImportRequest, header: str | None) -> Sequence[str] | None:
    named = "stores" in request.document
    if header is not None:
        if named or request.all_stores:
            raise errors.Invalid("Stores are named in the body or in a header, not in both.")
        return (header,)
    if named and request.all_stores:
        raise errors.Invalid("Either name stores or ask for all_stores.")
    stores = request.document.get("stores")
    if stores is not None and not (
        isinstance(stores, list) and all(isinstance(store, str) for store in stores)
    ):
        raise errors.Invalid("'stores' must be a list of ids of stores.")
    return stores


def _check_checksum(method: JsonObject) -> None:
    checksum, algorithm = method.get("checksum"), method.get("checksum_algorithm")
    if checksum is None and algorithm is None:
        return
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise errors.Invalid(f"checksum_algorithm must be one of {', '.join(CHECKSUM_ALGORITHMS)}.")
    size = hashlib.new(str(algorithm), usedforsecurity=False).digest_size
    if not isinstance(checksum, str) or not re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", checksum):
        raise errors.Invalid(f"The checksum must be {2 * size} hexadecimal digits.")


def _check_glance_download(method: JsonObject) -> None:
    for key in ("glance_region", "glance_image_id"):
        if not method.get(key) or not isinstance(method[key], str):
            raise errors.Invalid(f"glance-download needs '{key}'.")
    if not is_uuid(str(method["glance_image_id"])):
        # wire: clients look for these words.
        raise errors.Invalid("glance_image_id: image id does not look like a UUID.")
    if not isinstance(method.get("glance_service_interface", "public"), str):
        raise errors.Invalid("glance_service_interface must be a string.")


def dump_import_info(methods: Sequence[str], plugins: Sequence[str]) -> bytes:
    """The body of GET /v2/ext/info/import, which Image API v2 does not have.

    :param methods: the import methods that the configuration offers.
    :param plugins: the import plugins, in the order in which they run.
    """
    info: JsonDocument = {
        "plugins": {
            "description": "What is done to imported data before it is stored, in this order.",
            "type": "array",
            "value": list(plugins),
        }
    }
    if WEB_DOWNLOAD in methods:
        info["checksum-algorithms"] = {
            "description": "Values of checksum_algorithm in the method of a web-download, whose "
            "data must have the hexadecimal digest in checksum.",
            "type": "array",
            "value": list(CHECKSUM_ALGORITHMS),
        }
    return dumps({"import": info})
