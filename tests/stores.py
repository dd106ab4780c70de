"""The configuration of object stores under test: sections of a glance-api.conf."""

from __future__ import annotations

import pathlib


def s3(
    section: str,
    host: str,
    access_key: object,
    secret_key: object,
    bucket: str,
    in_parts: bool = True,
) -> str:
    """A store of the driver s3.

    :param host: URL of the service.
    :param in_parts: objects above 10 MiB are sent in parts of 5 MiB; else as by default.
    """
    parts = "s3_store_large_object_size = 10\ns3_store_large_object_chunk_size = 5\n"
    return f"""\
[{section}]
s3_store_host = {host}
s3_store_access_key = {access_key}
s3_store_secret_key = {secret_key}
s3_store_bucket = {bucket}
s3_store_create_bucket_on_put = True
s3_store_region_name = us-east-1
{parts if in_parts else ""}"""


def swift(
    section: str,
    references: str | pathlib.Path,
    container: str,
    in_segments: bool = True,
    more: str = "",
) -> str:
    """A store of the driver swift.

    :param references: the file that :func:`write_references` made.
    :param in_segments: objects above 5 MiB are sent in segments of 2 MiB; else as by default.
    :param more: further options.
    """
    segments = "swift_store_large_object_size = 5\nswift_store_large_object_chunk_size = 2\n"
    return f"""\
[{section}]
swift_store_config_file = {references}
default_swift_reference = ours
swift_store_container = {container}
swift_store_create_container_on_put = True
{segments if in_segments else ""}{more}"""


def write_references(path: str | pathlib.Path, address: str, user: str, key: str) -> None:
    """Write the account of Keystone at ``address`` that stores refer to as ``ours``."""
    pathlib.Path(path).write_text(f"""\
[ours]
auth_address = {address}
user = {user}
key = {key}
user_domain_id = default
project_domain_id = default
""")
