"""Every option that the service itself owns, as operators know it.

Names, groups, types, defaults and bounds are those of the Image service's
configuration files; options of libraries are not repeated here (``config.py``
registers them).  This module only declares: nothing reads a file or a value.
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
        "eight. Each takes some 60 MB; a machine that also stores data may want fewer.",
    ),
    Int(
        "threads",
        min=1,
        default=32,
        help="Threads of each worker, that is how many requests it serves at the same time. A "
        "client that uploads or downloads slowly occupies one of them; an idle kept-alive "
        "connection does not.",
    ),
    Int(
        "backlog",
        min=1,
        default=4096,
        help="Connections that the kernel may hold back before a worker accepts them.",
    ),
    Int(
        "tcp_keepidle",
        min=1,
        default=600,
        help="Seconds of silence after which the kernel asks whether the client is still there.",
    ),
    Int(
        "client_socket_timeout",
        min=0,
        default=900,
        help="Seconds that a client may neither send nor take a byte in the middle of a request "
        "before its connection is closed. 0 waits for ever: then a client that stalls keeps "
        "a thread until it goes away.",
    ),
    Int(
        "max_header_line",
        min=1,
        default=16384,
        help="Longest header line accepted, in bytes. Tokens with a large catalogue need more.",
    ),
    Int(
        "graceful_shutdown_timeout",
        min=0,
        default=60,
        help="Seconds that a stopping or reloading worker is given to finish the requests it has "
        "begun. Uploads of large images take long: a generous value does no harm, the new "
        "workers serve meanwhile.",
    ),
]

API = [
    Bool(
        "allow_anonymous_access",
        default=False,
        help="Serve callers without a token, read-only, instead of answering 401. They see "
        "public images only.",
    ),
    Int(
        "max_request_id_length",
        min=0,
        default=64,
        help="Longest X-Openstack-Request-Id that a caller may send along; a longer one is "
        "refused with 431, because it would end up in every log line.",
    ),
    Str(
        "public_endpoint",
        help="URL under which clients reach this service, for the links of the version document. "
        "Needed behind a proxy that changes host or path; unset, the links show the address "
        "of the request.",
    ),
    Str(
        "worker_self_reference_url",
        help="URL under which other workers reach this very worker. Needed when several workers "
        "stage data without a shared staging directory.",
    ),
    Int(
        "limit_param_default",
        min=1,
        default=25,
        help="Entries of a list when the request does not say ``limit``.",
    ),
    Int(
        "api_limit_max",
        min=1,
        default=1000,
        help="Most entries of one page of a list, whatever the request says.",
    ),
    Bool(
        "show_image_direct_url",
        default=False,
        help="Show where the data of an image lies (``direct_url``) to whoever can see the "
        "image. The address may hold secrets of the store.",
    ),
    Bool(
        "show_multiple_locations",
        default=False,
        deprecated_for_removal=True,
        deprecated_since="Newton",
        deprecated_reason="Location policies and the locations API do this with less risk.",
        help="Show all locations of an image and let PATCH change them. Whoever may change "
        "locations can point an image at other data (OSSN-0090); leave it off where end "
        "users reach this service.",
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
        help="Bytes that the images of one project may occupy in all stores together: a number "
        "and perhaps a unit B, KB, MB, GB or TB, without a space. 0 means no limit. Not used "
        "with use_keystone_limits.",
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
        help="Seconds for which a worker remembers the unified limits of a project. With 0 every "
        "upload and every new image asks Keystone once. A lowered limit counts that much "
        "later; a raised one counts at once.",
    ),
    Int(
        "image_count_quota",
        default=-1,
        help="Most images of a project, whether they have data or not; negative: no limit. It "
        "needs no Keystone; with use_keystone_limits the smaller of the two counts.",
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
        help="File that says who may create, read, update and delete which custom properties. "
        "Looked for beside the configuration files when not absolute. Unset: anyone who may "
        "change the image.",
    ),
    Str(
        "property_protection_rule_format",
        choices=["roles", "policies"],
        default="roles",
        help="What the values in property_protection_file are: lists of roles, or names of "
        "policy rules.",
    ),
    Bool(
        "do_secure_hash",
        default=True,
        help="Read data that is registered by its location, to compute its hash or to compare "
        "it with the one that was given. Off: a hash that is given is believed, and "
        "without one the image has none.",
    ),
    Int(
        "http_retries",
        min=0,
        default=3,
        help="How often reading the data for such a hash is tried again after it failed.",
    ),
    Str(
        "metadata_encryption_key",
        secret=True,
        deprecated_for_removal=True,
        deprecated_since="Dalmatian",
        deprecated_reason="Locations need no credentials where stores have their own sections.",
        help="Key with which the addresses of data are encrypted in the database: 16, 24 or 32 "
        "bytes, for AES-128, -192 or -256. Once it is set it must not change.",
    ),
    Int(
        "scrub_time",
        min=0,
        default=0,
        help="Seconds that deleted data is kept under delayed_delete before the scrubber removes "
        "it.",
    ),
    Int(
        "scrub_pool_size",
        min=1,
        default=1,
        help="Images whose data the scrubber removes at the same time.",
    ),
    Bool(
        "delayed_delete",
        default=False,
        help="Mark deleted images ``pending_delete`` and keep their data until the scrubber "
        "removes it, so that a deletion made by mistake can be undone.",
    ),
]

STORE = [
    Dict(
        "enabled_backends",
        help="The stores of this service as ``id:type`` pairs, for example ``fast:file, "
        "cold:s3``. Each store is configured in a section named after its id; "
        "[glance_store] default_backend names the one that is used when the request does "
        "not choose. Unset: one store, configured in [glance_store].",
    ),
    Str(
        "node_staging_uri",
        default="file:///tmp/staging/",
        help="Directory, as a file:// URI, that holds data between staging and import. Used only "
        "without enabled_backends; with them it is the option filesystem_store_datadir of "
        "[os_glance_staging_store].",
    ),
    List(
        "enabled_import_methods",
        bounds=True,
        item_type=types.String(choices=list(IMPORT_METHODS), quotes=True),
        default=["glance-direct", "web-download", "copy-image"],
        help="Import methods that are offered, in square brackets: [glance-direct,web-download]. "
        "[] switches the import off.",
    ),
    Str(
        "image_cache_dir",
        help="Directory of the image cache. Setting it also makes the service announce the "
        "versions of the API that have cache calls.",
    ),
    Str(
        "image_cache_driver",
        default="centralized_db",
        choices=["centralized_db", "sqlite", "xattr"],
        help="Where the cache keeps its books: in the database of the service (centralized_db, "
        "which needs worker_self_reference_url), in a file inside image_cache_dir (sqlite) "
        "or in extended attributes of the cached files (xattr).",
    ),
    Int(
        "image_cache_max_size",
        min=0,
        default=10 * 1024**3,
        help="Bytes that the image cache never exceeds. What was read longest ago makes room for "
        "the next image; a larger image is not cached.",
    ),
    Int(
        "image_cache_stall_time",
        min=0,
        default=86400,
        help="Seconds after which cleaning the cache removes a half-written image even though "
        "its writer seems to live.",
    ),
    Str(
        "image_cache_sqlite_db",
        default="cache.db",
        deprecated_for_removal=True,
        deprecated_since="Caracal",
        deprecated_reason="centralized_db replaces the sqlite driver.",
        help="Name of the file of the sqlite driver inside image_cache_dir.",
    ),
]

#: Which addresses that a client names the service asks (web-download, http locations).
IMPORT_FILTERING: list[cfg.Opt] = [
    List(
        "allowed_schemes",
        bounds=True,
        item_type=types.String(quotes=True),
        default=["http", "https"],
        help="Schemes of URLs that may be imported from, in square brackets: [http,https]. "
        "While this list names any, disallowed_schemes is not looked at; the same holds "
        "for the lists of hosts and ports.",
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
        "[mirror.example.org]. A host that is named here is trusted wherever its name "
        "leads. []: all hosts but disallowed_hosts and those whose address is loopback, "
        "link-local, unspecified, multicast or reserved.",
    ),
    List(
        "disallowed_hosts",
        bounds=True,
        item_type=types.HostAddress(),
        default=[],
        help="Hosts that may not be imported from, by name or address, in square brackets. An "
        "address is refused whatever name leads to it. Used when allowed_hosts is [].",
    ),
    List(
        "allowed_ports",
        bounds=True,
        item_type=types.Integer(min=1, max=65535),
        default=[80, 443],
        help="Ports that a URL may name, in square brackets: [80,443].",
    ),
    List(
        "disallowed_ports",
        bounds=True,
        item_type=types.Integer(min=1, max=65535),
        default=[],
        help="Ports that a URL may not name. Used when allowed_ports is [].",
    ),
    Bool(
        "deny_private_addresses",
        default=False,
        help="Refuse hosts with private addresses (RFC 1918, RFC 4193 and others that are not "
        "reachable from the Internet), too, unless allowed_hosts names them. Leave it off "
        "when images are imported from mirrors inside the network.",
    ),
]

NOTIFICATION = [
    Str(
        "default_publisher_id",
        default="image.localhost",
        help="Who notifications come from. Usual is ``image.`` and the name of the host.",
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
        help="Kinds of VMDK (createType) accepted. Kinds that name further files can make a "
        "hypervisor read files of the host; they are left out for that reason. Empty: "
        "accept no VMDK at all.",
    ),
    Bool(
        "require_image_format_match",
        default=True,
        help="Refuse data that is not of the declared ``disk_format``.",
    ),
    List(
        "gpt_safety_checks_nonfatal",
        item_type=types.String(),
        default=[],
        help="Safety checks of partition tables that only write a warning instead of refusing "
        "the image.",
    ),
]

PASTE_DEPLOY: list[cfg.Opt] = [
    Str(
        "flavor",
        help="Which pipeline of the paste file is served: the composite ``glance-api-<flavor>``. "
        "The file that ships with the service has keystone, caching, cachemanagement, "
        "keystone+caching, keystone+cachemanagement and, for demonstrations, fakeauth. "
        "Unset: ``glance-api``, where everybody is an administrator.",
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
        help="Directory whose files ``glance-manage db load_metadefs`` loads and ``db "
        "export_metadefs`` writes. When it does not exist, the definitions that ship with "
        "the service are loaded.",
    ),
]

#: Group name to its options; DEFAULT first.
GROUPS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": SERVER + API + IMAGE + STORE + NOTIFICATION + METADEF + registry.OPTIONS,
    "import_filtering_opts": IMPORT_FILTERING,
    "image_format": IMAGE_FORMAT,
    "paste_deploy": PASTE_DEPLOY,
    **importing.GROUPS,
}
