"""The spec of S3 stores: their options, their URLs, and where the driver is."""

from __future__ import annotations

import dataclasses

from oslo_config import cfg

from glance_store_py import errors
from glance_store_py.driver_settings import DriverSettings
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.drivers.http_options import HOST
from glance_store_py.location import StoreLocation, is_ambiguous

_CHECKSUMS = ("when_required", "when_supported")

OPTIONS = (
    cfg.StrOpt(
        "s3_store_host",
        help="The service: http:// or https://, host, and port if it is not the usual one. "
        "Without a scheme it is http.",
    ),
    cfg.StrOpt(
        "s3_store_region_name",
        default="",
        help="Region of the bucket. Empty: as the host's name says, otherwise us-east-1; a "
        "service that names another one is believed.",
    ),
    cfg.StrOpt(
        "s3_store_access_key",
        secret=True,
        help="Access key of the user that owns the images.",
    ),
    cfg.StrOpt(
        "s3_store_secret_key",
        secret=True,
        help="Secret key of that user.",
    ),
    cfg.StrOpt(
        "s3_store_bucket",
        help="Bucket that holds the images.",
    ),
    cfg.BoolOpt(
        "s3_store_create_bucket_on_put",
        default=False,
        help="Make the bucket when the first image is stored and it is missing.",
    ),
    cfg.StrOpt(
        "s3_store_bucket_url_format",
        default="auto",
        help="Where the bucket stands in the address of a request: virtual (in the host's "
        "name), path, or auto, which is virtual at Amazon and path elsewhere.",
    ),
    cfg.IntOpt(
        "s3_store_large_object_size",
        default=100,
        min=0,
        help="MiB from which an image of known size is sent in parts; one of unknown size is "
        "as soon as it is longer than one part.",
    ),
    cfg.IntOpt(
        "s3_store_large_object_chunk_size",
        default=10,
        help="MiB of one part, at least 5. Larger for images that would need more than 10,000 "
        "parts.",
    ),
    cfg.IntOpt(
        "s3_store_thread_pools",
        default=10,
        min=1,
        help="Parts that are sent at the same time by one process. So many parts, and one for "
        "each upload, are the memory that uploads take. As long as this is left unset, 4 are.",
    ),
    cfg.StrOpt(
        "s3_store_cacert",
        default="",
        help="File with the certificate authorities that an https service is checked against. "
        "Empty: those that the system knows.",
    ),
    cfg.BoolOpt(
        "s3_store_enable_data_integrity_protection",
        default=False,
        help="Obey the next two options; otherwise they are both when_required.",
    ),
    cfg.StrOpt(
        "s3_store_request_checksum_calculation",
        default="when_required",
        choices=_CHECKSUMS,
        help="when_supported sends a CRC32 with everything that is stored.",
    ),
    cfg.StrOpt(
        "s3_store_response_checksum_validation",
        default="when_required",
        choices=_CHECKSUMS,
        help="when_supported compares what is read with the CRC32 that the service has of it.",
    ),
)


@dataclasses.dataclass(frozen=True, repr=False)
class S3Settings(DriverSettings):
    """The options of an S3 store; their help says what they mean."""

    s3_store_host: str | None
    s3_store_region_name: str
    s3_store_access_key: str | None
    s3_store_secret_key: str | None
    s3_store_bucket: str | None
    s3_store_create_bucket_on_put: bool
    s3_store_bucket_url_format: str
    s3_store_large_object_size: int
    s3_store_large_object_chunk_size: int
    s3_store_thread_pools: int
    s3_store_cacert: str
    s3_store_enable_data_integrity_protection: bool
    s3_store_request_checksum_calculation: str
    s3_store_response_checksum_validation: str


def _parse(scheme: str, rest: str) -> StoreLocation:
    """Parse ``host/bucket/key``, which is taken literally.

    URLs that old releases wrote have ``access:secret@`` before the host.
    """
    credentials, at, place = rest.rpartition("@")
    host, _, path = place.partition("/")
    bucket, _, key = path.partition("/")
    if not (HOST.match(host) and bucket and key) or is_ambiguous(rest):
        raise errors.BadStoreUri("An S3 address is s3://host/bucket/key.")
    return StoreLocation(scheme, host, f"/{bucket}/{key}", credentials=credentials if at else None)


SPEC = DriverSpec(
    name="s3",
    schemes=("s3", "s3+http", "s3+https"),
    parse=_parse,
    import_path="glance_store_py.drivers.s3:S3Driver",
    options=OPTIONS,
    aliases=("glance.store.s3.Store",),
)
