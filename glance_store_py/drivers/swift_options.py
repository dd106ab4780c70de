"""The spec of Swift stores: their options, their URLs, and where the driver is."""

from __future__ import annotations

import dataclasses
from typing import Any

from oslo_config import cfg

from glance_store_py import errors
from glance_store_py.driver_settings import DriverSettings
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation, is_ambiguous

_SUCCESSOR: dict[str, Any] = {
    "deprecated_for_removal": True,
    "deprecated_since": "Rocky",
    "deprecated_reason": "swift_store_config_file keeps the credentials out of the database.",
}

OPTIONS = (
    cfg.BoolOpt(
        "swift_store_auth_insecure",
        default=False,
        help="Do not check the certificates of Keystone and Swift.",
    ),
    cfg.StrOpt(
        "swift_store_cacert",
        help="File with the certificate authorities that Keystone and Swift are checked against. "
        "Unset: those that the system knows.",
    ),
    cfg.StrOpt(
        "swift_store_region",
        help="Region of the Swift service in the catalogue.",
    ),
    cfg.StrOpt(
        "swift_store_endpoint",
        help="Address of the account in place of the one in the catalogue.",
    ),
    cfg.StrOpt(
        "swift_store_endpoint_type",
        default="publicURL",
        choices=("publicURL", "adminURL", "internalURL"),
        help="Which address of the service to take from the catalogue.",
    ),
    cfg.StrOpt(
        "swift_store_service_type",
        default="object-store",
        help="Type of the service in the catalogue.",
    ),
    cfg.StrOpt(
        "swift_store_container",
        default="glance",
        help="Container for the images, or with swift_store_multi_tenant or "
        "swift_store_multiple_containers_seed the beginning of the names of containers.",
    ),
    cfg.IntOpt(
        "swift_store_large_object_size",
        default=5 * 1024,
        min=1,
        help="Megabytes (of 1,024,000 bytes) from which an image of known size is stored in "
        "segments; one of unknown size always is.",
    ),
    cfg.IntOpt(
        "swift_store_large_object_chunk_size",
        default=200,
        min=1,
        help="Megabytes (of 1,024,000 bytes) of one segment.",
    ),
    cfg.BoolOpt(
        "swift_store_create_container_on_put",
        default=False,
        help="Make the container when an image is stored and it is missing.",
    ),
    cfg.BoolOpt(
        "swift_store_multi_tenant",
        default=False,
        help="Keep each image in a container of its own in the account of its project, with "
        "the token of the one who asks.",
    ),
    cfg.IntOpt(
        "swift_store_multiple_containers_seed",
        default=0,
        min=0,
        max=32,
        help="Spread the images over containers that are named after so many first characters "
        "of the image id. 0: all in one.",
    ),
    cfg.ListOpt(
        "swift_store_admin_tenants",
        default=[],
        help="Projects that may read and write every container of an image "
        "(swift_store_multi_tenant).",
    ),
    cfg.BoolOpt(
        "swift_store_ssl_compression",
        default=True,
        help="Has no effect: TLS does not compress any more.",
    ),
    cfg.IntOpt(
        "swift_store_retry_get_count",
        default=0,
        min=0,
        help="How often a download that broke off is taken up where it ended.",
    ),
    cfg.IntOpt(
        "swift_store_expire_soon_interval",
        default=60,
        min=0,
        help="Seconds before the end of a token at which a new one is fetched.",
    ),
    cfg.BoolOpt(
        "swift_store_use_trusts",
        default=True,
        help="With swift_store_multi_tenant: have the user's rights passed on to the service "
        "(a Keystone trust) while an image is stored in segments, so that the upload may "
        "outlive the user's token.",
    ),
    cfg.BoolOpt(
        "swift_buffer_on_upload",
        default=False,
        help="Write each segment to a file in swift_upload_buffer_dir first, so that it can be "
        "sent again when that fails.",
    ),
    cfg.StrOpt(
        "swift_upload_buffer_dir",
        help="Directory for those files; it needs space for one segment per upload.",
    ),
    cfg.StrOpt(
        "swift_store_config_file",
        help="File with a section for each account (reference): auth_address, user and key, or "
        "application_credential_id and application_credential_secret, and domains and project.",
    ),
    cfg.StrOpt(
        "default_swift_reference",
        default="ref1",
        help="Section of that file that new images use.",
    ),
    cfg.StrOpt(
        "swift_store_auth_version",
        default="3",
        help="Has no effect: version 3 of Keystone's API is the only one left.",
        **_SUCCESSOR,
    ),
    cfg.StrOpt(
        "swift_store_auth_address",
        help="Address of Keystone, when there is no swift_store_config_file.",
        **_SUCCESSOR,
    ),
    cfg.StrOpt(
        "swift_store_user",
        secret=True,
        help="Project and user as project:user, when there is no swift_store_config_file.",
        **_SUCCESSOR,
    ),
    cfg.StrOpt(
        "swift_store_key",
        secret=True,
        help="Password of that user.",
        **_SUCCESSOR,
    ),
    cfg.StrOpt(
        "swift_store_application_credential_id",
        secret=True,
        help="Id of an application credential in place of user and key.",
    ),
    cfg.StrOpt(
        "swift_store_application_credential_secret",
        secret=True,
        help="Secret of that application credential.",
    ),
    cfg.StrOpt(
        "swift_store_project_name",
        help="Project of the account, when swift_store_user does not name it.",
        **_SUCCESSOR,
    ),
    cfg.StrOpt(
        "swift_store_project_id",
        help="The same by id.",
        **_SUCCESSOR,
    ),
)


@dataclasses.dataclass(frozen=True, repr=False)
class SwiftSettings(DriverSettings):
    """The options of a Swift store that have an effect; their help says what they mean."""

    swift_store_auth_insecure: bool
    swift_store_cacert: str | None
    swift_store_region: str | None
    swift_store_endpoint: str | None
    swift_store_endpoint_type: str
    swift_store_service_type: str
    swift_store_container: str
    swift_store_large_object_size: int
    swift_store_large_object_chunk_size: int
    swift_store_create_container_on_put: bool
    swift_store_multi_tenant: bool
    swift_store_multiple_containers_seed: int
    swift_store_admin_tenants: list[str]
    swift_store_retry_get_count: int
    swift_store_expire_soon_interval: int
    swift_store_use_trusts: bool
    swift_buffer_on_upload: bool
    swift_upload_buffer_dir: str | None
    swift_store_config_file: str | None
    default_swift_reference: str
    swift_store_auth_address: str | None
    swift_store_user: str | None
    swift_store_key: str | None
    swift_store_application_credential_id: str | None
    swift_store_application_credential_secret: str | None
    swift_store_project_name: str | None
    swift_store_project_id: str | None


def _parse(scheme: str, rest: str) -> StoreLocation:
    """Parse ``host/path/container/object``.

    With ``swift+config`` the host is the name of a reference to an account; URLs that old
    releases wrote have ``user:key@`` before the host of Keystone.
    """
    credentials, at, place = rest.rpartition("@")
    host, _, path = place.partition("/")
    parts = path.split("/")
    if (
        not host
        or len(parts) < 2
        or not all(parts)
        or is_ambiguous(rest)
        or (at and (scheme == "swift+config" or credentials.count(":") not in (1, 2)))
    ):
        raise errors.BadStoreUri("A Swift address is swift+config://reference/container/object.")
    return StoreLocation(scheme, host, f"/{path}", credentials=credentials if at else None)


SPEC = DriverSpec(
    name="swift",
    schemes=("swift", "swift+config", "swift+http", "swift+https"),
    parse=_parse,
    import_path="glance_store_py.drivers.swift:SwiftDriver",
    options=OPTIONS,
    aliases=("swift+http", "swift+https", "swift+config", "glance.store.swift.Store"),
)
