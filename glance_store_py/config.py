"""The options of stores, and how a store reads its own.

With several stores (``enabled_backends``) each has a section named like its id;
what is not set there is looked up in ``[backend_defaults]``.  With the older
``[glance_store] stores`` all options are in ``[glance_store]``.  Nothing is kept
in module globals but the declarations.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

from oslo_config import cfg

from glance_store_py import errors
from glance_store_py.drivers import cinder_options, rbd_options, s3_options, swift_options

SINGLE_SECTION = "glance_store"
DEFAULTS_SECTION = "backend_defaults"

#: Sections and ids that belong to the service itself start so.
RESERVED_PREFIX = "os_glance_"
STAGING_STORE = "os_glance_staging_store"
TASKS_STORE = "os_glance_tasks_store"
RESERVED_STORES = (STAGING_STORE, TASKS_STORE)

FILE_OPTIONS = (
    cfg.StrOpt(
        "filesystem_store_datadir",
        default="/var/lib/glance/images",
        help="Directory that holds the image files. It is made at start when it is missing, "
        "and the service's user must be able to write to it.",
    ),
    cfg.MultiStrOpt(
        "filesystem_store_datadirs",
        deprecated_for_removal=True,
        deprecated_since="Flamingo",
        deprecated_reason="A store per directory says the same and lets users choose.",
        help="Several directories instead of one, each as path or path:priority. New files go "
        "to the directory with the highest priority that has room; among equals, to the one "
        "with the most free space.",
    ),
    cfg.StrOpt(
        "filesystem_store_metadata_file",
        help="A JSON file with an object, or a list of objects, that have an id and a "
        "mountpoint. The object whose mountpoint holds a new image file becomes metadata of "
        "the image's location, so that a client on the same share can find the file.",
    ),
    cfg.IntOpt(
        "filesystem_store_file_perm",
        default=0,
        help="Permissions of image files, as the octal digits that chmod takes (for example "
        "640); 0 leaves them to the umask. The owner must be able to read. Where group or "
        "others may read, they may also enter the directory.",
    ),
    cfg.IntOpt(
        "filesystem_store_chunk_size",
        default=64 * 1024,
        min=1,
        help="Bytes that are read at a time when an image cannot be sent by the operating "
        "system itself. As long as this is left unset, 1 MiB is used.",
    ),
    cfg.BoolOpt(
        "filesystem_thin_provisioning",
        default=False,
        help="Leave holes in image files where the data is zero, instead of writing zeros.",
    ),
    cfg.IntOpt(
        "filesystem_store_timeout",
        default=0,
        min=0,
        help="Seconds after which an answer of the file system is no longer waited for "
        "(looking at a file, removing one, asking for free space) and the request fails with "
        "status 503. Guards against a hanging network file system. 0 waits for ever.",
    ),
    cfg.IntOpt(
        "filesystem_store_thread_pool_size",
        default=10,
        min=1,
        help="Threads that do the waiting when filesystem_store_timeout is set.",
    ),
    cfg.IntOpt(
        "filesystem_store_threadpool_threshold",
        default=75,
        min=0,
        max=100,
        help="Log a warning when more than this share (percent) of those threads is busy.",
    ),
)

HTTP_OPTIONS = (
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

#: The drivers of this package and their options.  A driver from elsewhere
#: brings its own, as the class attribute ``options``.
DRIVER_OPTIONS: dict[str, Sequence[cfg.Opt]] = {
    "file": FILE_OPTIONS,
    "http": HTTP_OPTIONS,
    "memory": (),
    "rbd": rbd_options.OPTIONS,
    "cinder": cinder_options.OPTIONS,
    "s3": s3_options.OPTIONS,
    "swift": swift_options.OPTIONS,
    "vmware": (),
}

#: Other names of drivers in ``[glance_store] stores`` and ``default_store``.
DRIVER_ALIASES = {
    "filesystem": "file",
    "https": "http",
    "glance.store.filesystem.Store": "file",
    "glance.store.http.Store": "http",
    "glance.store.rbd.Store": "rbd",
    "glance.store.cinder.Store": "cinder",
    "glance.store.s3.Store": "s3",
    "swift+http": "swift",
    "swift+https": "swift",
    "swift+config": "swift",
    "glance.store.swift.Store": "swift",
    "vsphere": "vmware",
    "glance.store.vmware_datastore.Store": "vmware",
}

SINGLE_OPTIONS = (
    cfg.ListOpt(
        "stores",
        default=["file", "http"],
        deprecated_for_removal=True,
        deprecated_since="Rocky",
        deprecated_reason="enabled_backends allows several stores of one kind.",
        help="Drivers to use when enabled_backends is not set.",
    ),
    cfg.StrOpt(
        "default_store",
        default="file",
        choices=(
            "file",
            "filesystem",
            "http",
            "https",
            "swift",
            "swift+http",
            "swift+https",
            "swift+config",
            "rbd",
            "cinder",
            "vsphere",
            "s3",
            "memory",
        ),
        deprecated_for_removal=True,
        deprecated_since="Rocky",
        deprecated_reason="default_backend takes its place.",
        help="Driver that stores new images when enabled_backends is not set.",
    ),
)

MULTI_OPTIONS = (
    cfg.StrOpt(
        "default_backend",
        help="Id of the store that takes an image when the client names none. Must be one of "
        "enabled_backends.",
    ),
)

STORE_OPTIONS = (
    cfg.StrOpt(
        "store_description",
        help="What users should know about this store; shown by store discovery.",
    ),
    cfg.IntOpt(
        "weight",
        default=0,
        help="When an image lies in several stores, the one with the highest weight is read first.",
    ),
)

#: What a section of a reserved store may set.
RESERVED_OPTIONS = frozenset(
    {
        "filesystem_store_datadir",
        "filesystem_store_chunk_size",
        "filesystem_store_timeout",
        "filesystem_store_thread_pool_size",
        "filesystem_store_threadpool_threshold",
    }
)


def driver_options() -> list[cfg.Opt]:
    """The options of all drivers of this package."""
    return [option for options in DRIVER_OPTIONS.values() for option in options]


def reserved_options(store_id: str, datadir: str | None = None) -> list[cfg.Opt]:
    """The options of a reserved store: those of a file store, with a directory of its own."""
    options: list[cfg.Opt] = [copy.copy(option) for option in FILE_OPTIONS]
    for option in options:
        if option.dest == "filesystem_store_datadir":
            option.default = datadir or f"/var/lib/glance/{store_id}"
    return options


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register what exists whatever stores there are.  Doing it twice is harmless."""
    conf.register_opts((*SINGLE_OPTIONS, *MULTI_OPTIONS), group=SINGLE_SECTION)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Options without ``enabled_backends``, for oslo-config-generator."""
    return [(SINGLE_SECTION, [*SINGLE_OPTIONS, *driver_options()])]


def list_multi_store_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Options with ``enabled_backends``, for oslo-config-generator."""
    return [
        (SINGLE_SECTION, list(MULTI_OPTIONS)),
        (DEFAULTS_SECTION, [*STORE_OPTIONS, *driver_options()]),
        *(
            (
                store_id,
                [
                    option
                    for option in reserved_options(store_id)
                    if option.dest in RESERVED_OPTIONS
                ],
            )
            for store_id in RESERVED_STORES
        ),
    ]


class StoreOptions:
    """The options of one store, by name.

    An option that the store's own section does not set is taken from the
    section ``fallback``, then from its default.  When only some options are
    ``settable``, the others always have their defaults.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        section: str,
        options: Sequence[cfg.Opt],
        fallback: str | None = None,
        settable: Container[str] | None = None,
    ) -> None:
        self.section = section
        self._conf = conf
        self._fallback = fallback
        self._fixed_values = {
            option.dest: option.default
            for option in options
            if settable is not None and option.dest not in settable
        }
        for place in self._sections():
            conf.register_opts(
                [option for option in options if option.dest not in self._fixed_values], group=place
            )

    def __getitem__(self, option: str):
        if option in self._fixed_values:
            return self._fixed_values[option]
        return self._conf[self.section_of(option)][option]

    def is_set(self, option: str) -> bool:
        """Did the operator set this option, in the own section or in the fallback?"""
        return any(self._is_set_in(section, option) for section in self._sections())

    @property
    def config_files(self) -> list[str]:
        """The configuration files that were read, for libraries that read them themselves."""
        return list(self._conf.config_file or ())

    def section_of(self, option: str) -> str:
        """The section that the value of an option comes from."""
        for section in self._sections():
            if self._is_set_in(section, option):
                return section
        return self.section

    def error(self, option: str, reason: str) -> errors.BadStoreConfiguration:
        """An error to raise about the value of an option."""
        return errors.BadStoreConfiguration(self.section_of(option), option, reason)

    def _sections(self) -> tuple[str, ...]:
        return (self.section,) if self._fallback is None else (self.section, self._fallback)

    def _is_set_in(self, section: str, option: str) -> bool:
        if option in self._fixed_values:
            return False
        where = self._conf.get_location(option, section)
        return where is not None and where.location is not cfg.Locations.opt_default
