"""Declarations of the service's own options.

Names, groups, types, defaults and bounds are those of the Image service's configuration files, so
that a configuration of Glance works here.  ``config.py`` registers these options and those of
libraries; ``settings.py`` reads the values.
"""

from __future__ import annotations

from oslo_config import cfg, types

from glance_py.importing import options as importing
from glance_py.registry import options as registry

Bool, Dict, Int, List, Port, Str = (
    cfg.BoolOpt,
    cfg.DictOpt,
    cfg.IntOpt,
    cfg.ListOpt,
    cfg.PortOpt,
    cfg.StrOpt,
)

IMPORT_METHODS = ("glance-direct", "web-download", "copy-image", "glance-download")

SERVER = [
    cfg.HostAddressOpt(
        "bind_host",
        default="0.0.0.0",  # noqa: S104 - the service's documented default
        help="Address that the glance-api command listens on. Ignored when another WSGI server "
        "runs the service.",
    ),
    Port("bind_port", default=9292, help="TCP port that the glance-api command listens on."),
    Int(
        "workers",
        min=1,
        help="Worker processes of the glance-api command. Unset: one per processor, at most "
        "eight. Each uses about 60 MB of memory; set fewer on a machine that also stores data.",
    ),
    Int(
        "threads",
        min=1,
        default=32,
        help="Threads of each worker, that is, requests that it serves at the same time. A client "
        "that uploads or downloads slowly occupies a thread; an idle connection does not.",
    ),
    Int(
        "backlog",
        min=1,
        default=4096,
        help="Connections that the kernel queues until a worker accepts them.",
    ),
    Int(
        "tcp_keepidle",
        min=1,
        default=600,
        help="Seconds without traffic after which the kernel probes a connection (TCP keepalive).",
    ),
    Int(
        "client_socket_timeout",
        min=0,
        default=900,
        help="Seconds without progress in the middle of a request after which a connection is "
        "closed: the client neither sends nor receives a byte. 0: no limit, so that a stalled "
        "client occupies a thread until its connection ends.",
    ),
    Int(
        "max_header_line",
        min=1,
        default=16384,
        help="Longest header line that is accepted, in bytes. Tokens with a large catalog need "
        "more.",
    ),
    Int(
        "graceful_shutdown_timeout",
        min=0,
        default=60,
        help="Seconds that a worker has to finish its requests when it is stopped or reloaded. "
        "Uploads of large images take long; a high value is safe, because new workers serve "
        "in the meantime.",
    ),
]

API = [
    Bool(
        "allow_anonymous_access",
        default=False,
        help="Accept requests without a token, read-only, instead of answering 401. Such callers "
        "see public images only.",
    ),
    Int(
        "max_request_id_length",
        min=0,
        default=64,
        help="Longest X-Openstack-Request-Id that a caller may send, in characters. A longer one "
        "is refused with 431, because each log line contains the id.",
    ),
    Str(
        "public_endpoint",
        help="URL at which clients reach this service, for the links of the version document. "
        "Needed behind a proxy that changes host or path. Unset: the links have the host of "
        "the request.",
    ),
    Str(
        "worker_self_reference_url",
        help="URL at which other API hosts reach this host. Needed when several hosts stage data "
        "without a shared staging directory.",
    ),
    Int(
        "limit_param_default",
        min=1,
        default=25,
        help="Entries of a page of a list when the request has no ``limit``.",
    ),
    Int(
        "api_limit_max",
        min=1,
        default=1000,
        help="Most entries of a page of a list, also when the request has a larger ``limit``.",
    ),
    Bool(
        "show_image_direct_url",
        default=False,
        help="Show the URL of an image's data (``direct_url``) to all users who can see the image. "
        "The URL may contain credentials of the store.",
    ),
    Bool(
        "show_multiple_locations",
        default=False,
        deprecated_for_removal=True,
        deprecated_since="Newton",
        deprecated_reason="Location policies and the locations API do this with less risk.",
        help="Show all locations of an image and let PATCH change them. A user who may change "
        "locations can replace the data of an image (OSSN-0090); leave it off where end users "
        "can reach this service.",
    ),
]

IMAGE = [
    Str(
        "hashing_algorithm",
        default="sha512",
        help="Name of the hashlib algorithm for ``os_hash_value`` of new image data.",
    ),
    Int(
        "image_size_cap",
        min=1,
        max=9223372036854775808 - 1,
        default=1099511627776,
        help="Largest image accepted, in bytes. The default is 1 TiB.",
    ),
    Str(
        "user_storage_quota",
        default="0",
        help="Bytes that the images of one project may occupy in all stores together: a number, "
        "optionally followed by the unit B, KB, MB, GB or TB without a space. 0: no limit. "
        "Ignored with use_keystone_limits.",
    ),
    Bool(
        "use_keystone_limits",
        default=False,
        help="Take limits per project from Keystone (unified limits; section [oslo_limit]) "
        "instead of from options of this service.",
    ),
    cfg.FloatOpt(
        "keystone_limits_cache_time",
        min=0,
        default=0,
        help="Seconds for which a worker caches the unified limits of a project. 0: every upload "
        "and every new image causes a request to Keystone. A lowered limit takes effect when "
        "the cache expires, a raised one at once.",
    ),
    Int(
        "image_count_quota",
        default=-1,
        help="Most images of a project, with and without data; negative: no limit. It needs no "
        "Keystone; with use_keystone_limits the smaller of the two limits applies.",
    ),
    Int("image_member_quota", default=128, help="Most members of an image; negative: no limit."),
    Int(
        "image_property_quota",
        default=128,
        help="Most custom properties of an image; negative: no limit.",
    ),
    Int("image_tag_quota", default=128, help="Most tags of an image; negative: no limit."),
    Int("image_location_quota", default=10, help="Most locations of an image; negative: no limit."),
    Str(
        "property_protection_file",
        help="File with the rules about who may create, read, update and delete which custom "
        "properties. A relative path is searched in the directories of the configuration "
        "files. Unset: every user who may change the image.",
    ),
    Str(
        "property_protection_rule_format",
        choices=["roles", "policies"],
        default="roles",
        help="The values in property_protection_file: lists of roles, or names of policy rules.",
    ),
    Bool(
        "do_secure_hash",
        default=True,
        help="Read the data of a location that is added (POST /v2/images/{id}/locations), to "
        "compute its hash or to compare it with the hash in the request. Off: the hash in the "
        "request is recorded without a check; without one the image has no hash.",
    ),
    Int(
        "http_retries",
        min=0,
        default=3,
        help="How many times reading data for do_secure_hash is retried after a failure.",
    ),
    Str(
        "metadata_encryption_key",
        secret=True,
        deprecated_for_removal=True,
        deprecated_since="Dalmatian",
        deprecated_reason="Locations need no credentials where stores have their own sections.",
        help="Key with which the URLs of locations are encrypted in the database: 16, 24 or 32 "
        "bytes, for AES-128, -192 or -256. Do not change it after it was set.",
    ),
    Int(
        "scrub_time",
        min=0,
        default=0,
        help="Seconds for which the data of a deleted image is kept with delayed_delete before the "
        "scrubber removes it.",
    ),
    Int(
        "scrub_pool_size",
        min=1,
        default=1,
        help="Number of images whose data the scrubber removes at the same time.",
    ),
    Bool(
        "delayed_delete",
        default=False,
        help="Mark deleted images ``pending_delete`` and keep their data until the scrubber "
        "removes it, so that a deletion can be undone until then.",
    ),
]

STORE = [
    Dict(
        "enabled_backends",
        help="The stores of this service as ``id:type`` pairs, for example ``fast:file, "
        "cold:s3``. Each store is configured in a section named after its id; "
        "[glance_store] default_backend names the one for requests that name no store. "
        "Unset: one store, configured in [glance_store].",
    ),
    Str(
        "node_staging_uri",
        default="file:///tmp/staging/",
        help="Directory, as a file:// URI, for data between staging and import. Used only without "
        "enabled_backends; with them it is the option filesystem_store_datadir of "
        "[os_glance_staging_store].",
    ),
    List(
        "enabled_import_methods",
        bounds=True,
        item_type=types.String(choices=list(IMPORT_METHODS), quotes=True),
        default=["glance-direct", "web-download", "copy-image"],
        help="Enabled import methods, in square brackets: [glance-direct,web-download]. []: none, "
        "which disables imports.",
    ),
    Str(
        "image_cache_dir",
        help="Directory of the image cache. If it is set, the service announces the versions of "
        "the API that contain the cache calls.",
    ),
    Str(
        "image_cache_driver",
        default="centralized_db",
        choices=["centralized_db", "sqlite", "xattr"],
        help="Where the cache keeps its metadata: in the database of the service (centralized_db, "
        "which needs worker_self_reference_url), in a file in image_cache_dir (sqlite) or in "
        "extended attributes of the cached files (xattr).",
    ),
    Int(
        "image_cache_max_size",
        min=0,
        default=10 * 1024**3,
        help="Largest size of the image cache in bytes. The least recently read images are removed "
        "when the space is needed for another; a larger image is not cached.",
    ),
    Int(
        "image_cache_stall_time",
        min=0,
        default=86400,
        help="Seconds without progress after which cleaning the cache removes an incomplete image, "
        "even if the process that writes it seems to be running.",
    ),
    Str(
        "image_cache_sqlite_db",
        default="cache.db",
        deprecated_for_removal=True,
        deprecated_since="Caracal",
        deprecated_reason="centralized_db replaces the sqlite driver.",
        help="Name of the database file of the sqlite driver, in image_cache_dir.",
    ),
]

#: To which URLs that a client names the service sends requests (web-download, http locations).
IMPORT_FILTERING: list[cfg.Opt] = [
    List(
        "allowed_schemes",
        bounds=True,
        item_type=types.String(quotes=True),
        default=["http", "https"],
        help="Schemes of URLs that may be imported from, in square brackets: [http,https]. "
        "If this list is not empty, disallowed_schemes is ignored; the same holds for the "
        "lists of hosts and ports.",
    ),
    List(
        "disallowed_schemes",
        bounds=True,
        item_type=types.String(quotes=True),
        default=[],
        help="Schemes that may not be imported from. Used when allowed_schemes is [].",
    ),
    List(
        "allowed_hosts",
        bounds=True,
        item_type=types.HostAddress(),
        default=[],
        help="The only hosts that may be imported from, in square brackets: "
        "[mirror.example.org]. A host in this list is allowed with any address that its name "
        "resolves to. []: all hosts except disallowed_hosts and hosts whose address is "
        "loopback, link-local, unspecified, multicast or reserved.",
    ),
    List(
        "disallowed_hosts",
        bounds=True,
        item_type=types.HostAddress(),
        default=[],
        help="Hosts that may not be imported from, by name or address, in square brackets. An "
        "address is refused for every name that resolves to it. Used when allowed_hosts is "
        "[].",
    ),
    List(
        "allowed_ports",
        bounds=True,
        item_type=types.Integer(min=1, max=65535),
        default=[80, 443],
        help="Ports that a URL may have, in square brackets: [80,443].",
    ),
    List(
        "disallowed_ports",
        bounds=True,
        item_type=types.Integer(min=1, max=65535),
        default=[],
        help="Ports that a URL may not have. Used when allowed_ports is [].",
    ),
    Bool(
        "deny_private_addresses",
        default=False,
        help="Also refuse hosts with private addresses (RFC 1918, RFC 4193 and others that are not "
        "reachable from the Internet), unless allowed_hosts names them. Leave it off when "
        "images are imported from mirrors in the local network.",
    ),
]

NOTIFICATION = [
    Str(
        "default_publisher_id",
        default="image.localhost",
        help="Publisher id of notifications, by convention ``image.`` and the name of the host.",
    ),
    List(
        "disabled_notifications",
        default=[],
        item_type=types.String(),
        help="Notifications that are not sent: full event types such as ``image.create``, or "
        "the text before the first dot (``image``, ``task``) for a whole group.",
    ),
]

IMAGE_FORMAT = [
    List(
        "container_formats",
        item_type=types.String(),
        default=["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"],
        deprecated_opts=[cfg.DeprecatedOpt("container_formats", group="DEFAULT")],
        help="Values accepted for ``container_format``.",
    ),
    List(
        "disk_formats",
        item_type=types.String(),
        default=["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"],
        deprecated_opts=[cfg.DeprecatedOpt("disk_formats", group="DEFAULT")],
        help="Values accepted for ``disk_format``.",
    ),
    List(
        "vmdk_allowed_types",
        item_type=types.String(),
        default=["streamOptimized", "monolithicSparse"],
        help="Accepted kinds of VMDK (createType). The default omits kinds that refer to other "
        "files, because these can make a hypervisor read files of its host. Empty: no VMDK is "
        "accepted.",
    ),
    Bool(
        "require_image_format_match",
        default=True,
        help="Refuse data whose format is not the declared ``disk_format``.",
    ),
    List(
        "gpt_safety_checks_nonfatal",
        item_type=types.String(),
        default=[],
        help="Names of safety checks of partition tables that log a warning instead of refusing "
        "the image.",
    ),
]

PASTE_DEPLOY: list[cfg.Opt] = [
    Str(
        "flavor",
        help="Selects the pipeline of the paste file: the composite ``glance-api-<flavor>``. "
        "The file that ships with the service has keystone, caching, cachemanagement, "
        "keystone+caching, keystone+cachemanagement and, for demonstrations, fakeauth. "
        "Unset: ``glance-api``, in which every caller is an administrator.",
    ),
    Str(
        "config_file",
        help="The paste file. Unset: the last configuration file with ``-paste.ini`` in place of "
        "``.conf``, if there is one, else the file that ships with the service.",
    ),
]

METADEF: list[cfg.Opt] = [
    Str(
        "metadata_source_path",
        default="/etc/glance/metadefs/",
        help="Directory of the files that ``glance-manage db load_metadefs`` loads and ``db "
        "export_metadefs`` writes. If it does not exist, the definitions that ship with the "
        "service are loaded.",
    ),
]

#: Name of a section -> its options; DEFAULT first.
GROUPS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": SERVER + API + IMAGE + STORE + NOTIFICATION + METADEF + registry.OPTIONS,
    "import_filtering_opts": IMPORT_FILTERING,
    "image_format": IMAGE_FORMAT,
    "paste_deploy": PASTE_DEPLOY,
    **importing.GROUPS,
}
