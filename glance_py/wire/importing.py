"""The request to import the data of an image, and what an import can do here.

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
from glance_py.wire.dump import dumps
from glance_py.wire.field import UUID_PATTERN
from glance_py.wire.load import parse_object

#: Digests that a client may have a download compared with.
CHECKSUM_ALGORITHMS = ("md5", "sha1", "sha256", "sha384", "sha512")

_UUID = re.compile(UUID_PATTERN)


def load_import(body: bytes, enabled: Sequence[str]) -> ImportRequest:
    """The import that a request asks for; what depends on the image is not judged yet.

    :param enabled: the methods that the operator offers.
    :raises errors.Invalid: it makes no sense.
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
    """The same request with what its method needs judged, and the stores.

    wire: an image in the wrong state is answered before any of this, and what is wrong
    with the stores after everything else.

    :param header: the value of X-Image-Meta-Store.
    :raises errors.Invalid: something is missing, or of the wrong form.
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


def _check_checksum(method: Mapping[str, object]) -> None:
    checksum, algorithm = method.get("checksum"), method.get("checksum_algorithm")
    if checksum is None and algorithm is None:
        return
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise errors.Invalid(f"checksum_algorithm must be one of {', '.join(CHECKSUM_ALGORITHMS)}.")
    size = hashlib.new(str(algorithm), usedforsecurity=False).digest_size
    if not isinstance(checksum, str) or not re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", checksum):
        raise errors.Invalid(f"The checksum must be {2 * size} hexadecimal digits.")


def _check_glance_download(method: Mapping[str, object]) -> None:
    for key in ("glance_region", "glance_image_id"):
        if not method.get(key) or not isinstance(method[key], str):
            raise errors.Invalid(f"glance-download needs '{key}'.")
    if not _UUID.fullmatch(str(method["glance_image_id"])):
        # wire: clients look for these words.
        raise errors.Invalid("glance_image_id: image id does not look like a UUID.")
    if not isinstance(method.get("glance_service_interface", "public"), str):
        raise errors.Invalid("glance_service_interface must be a string.")


def dump_import_info(methods: Sequence[str], plugins: Sequence[str]) -> bytes:
    """The body that tells what an import can do beyond Image API v2."""
    info: dict[str, object] = {
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
