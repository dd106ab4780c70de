"""The spec of http stores: their options, their URLs, and where the driver is."""

from __future__ import annotations

import dataclasses
import re

from oslo_config import cfg

from glance_store_py import errors
from glance_store_py.driver_settings import DriverSettings
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation, has_unprintable

OPTIONS = (
    cfg.StrOpt(
        "https_ca_certificates_file",
        help="File with the certificate authorities that https servers are checked against. "
        "When it is set, https_insecure has no effect.",
    ),
    cfg.BoolOpt(
        "https_insecure",
        default=False,
        help="Do not check the certificates of https servers. False checks them against the "
        "authorities that the system knows. Glance's default is True.",
    ),
    cfg.DictOpt(
        "http_proxy_information",
        default={},
        help="Proxies by scheme, for example http:10.0.0.1:3128,https:10.0.0.1:1080.",
    ),
)


@dataclasses.dataclass(frozen=True, repr=False)
class HttpSettings(DriverSettings):
    """The options of an http store; their help says what they mean."""

    https_ca_certificates_file: str | None
    https_insecure: bool
    http_proxy_information: dict[str, str]


#: Host and port in a URL.
HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:\s]+)(?::[0-9]+)?\Z")
_URL = re.compile(r"(?:([^/?#]*)@)?([^/?#@]+)([^?#]*)(?:\?([^#]*))?(?:#.*)?\Z", re.DOTALL)


def _parse(scheme: str, rest: str) -> StoreLocation:
    match = _URL.match(rest)
    if match is None or not HOST.match(match[2]) or has_unprintable(rest):
        raise errors.BadStoreUri(f"An {scheme} address needs a valid host and port.")
    credentials, authority, path, query = match.groups()
    if credentials is not None and credentials.count(":") != 1:
        raise errors.BadStoreUri("Credentials in an address are user:password.")
    return StoreLocation(scheme, authority, path, query or "", credentials)


SPEC = DriverSpec(
    name="http",
    schemes=("http", "https"),
    parse=_parse,
    import_path="glance_store_py.drivers.http:HttpDriver",
    options=OPTIONS,
    aliases=("https", "glance.store.http.Store"),
)
