"""The options of the service as typed values, read once when a process starts.

oslo.config looks an option up at each access, and its values are ``Any`` for a type checker.
Therefore only this module, the modules that check the configuration and the adapters of other
libraries read a ConfigOpts.  Everything else is given the part of :class:`Settings` that it needs.
Fields have the names of their options; their meaning and unit is in the help of the option
(``options.py``).  The defaults are those of the options (``tests/unit/test_settings.py``), so that
a test writes ``QuotaSettings(image_tag_quota=2)``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from oslo_config import cfg

_SIZE = re.compile(r"(\d+)(?:([KMGT]?)B)?\Z")


class _FromGroup:
    """Reads each field from the option of the same name in one group."""

    __slots__ = ()

    @classmethod
    def _read(cls, group: Any, **given: Any) -> Self:
        names = [field.name for field in dataclasses.fields(cls) if field.name not in given]  # type: ignore[arg-type]
        return cls(**{name: _frozen(getattr(group, name)) for name in names}, **given)


def _frozen(value: Any) -> Any:
    """The value of an option, lists as tuples."""
    return tuple(value) if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True, slots=True)
class ApiSettings(_FromGroup):
    """What the HTTP API offers, shows and accepts."""

    allow_anonymous_access: bool = False
    max_request_id_length: int = 64
    public_endpoint: str | None = None
    limit_param_default: int = 25
    api_limit_max: int = 1000
    show_image_direct_url: bool = False
    show_multiple_locations: bool = False
    enabled_import_methods: Sequence[str] = ("glance-direct", "web-download", "copy-image")
    hashing_algorithm: str = "sha512"

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf)


@dataclasses.dataclass(frozen=True, slots=True)
class HostSettings(_FromGroup):
    """How other hosts and clients reach this process."""

    public_endpoint: str | None = None
    worker_self_reference_url: str | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf)

    @property
    def self_url(self) -> str | None:
        """The URL under which other workers reach this one, None when it is not configured."""
        return self.worker_self_reference_url or self.public_endpoint


@dataclasses.dataclass(frozen=True, slots=True)
class QuotaSettings(_FromGroup):
    """Limits for everyone; negative numbers are no limit.

    ``user_storage_quota`` in bytes, 0 is no limit; ``image_size_cap`` in bytes.
    """

    image_count_quota: int = -1
    image_member_quota: int = 128
    image_property_quota: int = 128
    image_tag_quota: int = 128
    image_location_quota: int = 10
    image_size_cap: int = 1 << 40
    user_storage_quota: int = 0
    use_keystone_limits: bool = False
    keystone_limits_cache_time: float = 0

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """:raises ValueError: ``user_storage_quota`` is not a size."""
        return cls._read(conf, user_storage_quota=storage_quota(conf.user_storage_quota))


def storage_quota(text: str) -> int:
    """The bytes that a value of ``user_storage_quota`` means; 0 is no limit.

    :param text: a number with an optional unit B, KB, MB, GB or TB, in steps of 1024.
    :raises ValueError: it is something else.
    """
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(
            f"[DEFAULT] user_storage_quota: {text!r} is not a size; give a number "
            "and B, KB, MB, GB or TB."
        )
    number, unit = match.groups()
    return int(number) << 10 * (" KMGT".index(unit) if unit else 0)


@dataclasses.dataclass(frozen=True, slots=True)
class PropertyProtectionSettings(_FromGroup):
    """Who may create, read, update and delete which custom properties."""

    property_protection_file: str | None = None
    property_protection_rule_format: str = "roles"

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """The file as a path that was found; as it was written when it does not exist."""
        name = conf.property_protection_file
        found = conf.find_file(name) if name else None
        return cls._read(conf, property_protection_file=found or name)


@dataclasses.dataclass(frozen=True, slots=True)
class FormatSettings(_FromGroup):
    """The group ``[image_format]``."""

    container_formats: Sequence[str] = (
        "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed",
    )  # fmt: skip
    disk_formats: Sequence[str] = (
        "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
    )  # fmt: skip
    vmdk_allowed_types: Sequence[str] = ("streamOptimized", "monolithicSparse")
    require_image_format_match: bool = True
    gpt_safety_checks_nonfatal: Sequence[str] = ()

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf.image_format)


@dataclasses.dataclass(frozen=True, slots=True)
class DataSettings(_FromGroup):
    """What becomes of the bytes of images."""

    hashing_algorithm: str = "sha512"
    do_secure_hash: bool = True
    http_retries: int = 3
    delayed_delete: bool = False
    scrub_time: int = 0
    scrub_pool_size: int = 1

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf)


@dataclasses.dataclass(frozen=True, slots=True)
class ImportSettings(_FromGroup):
    """Imports: the groups ``[image_import_opts]`` and ``[glance_download_properties]``."""

    image_import_plugins: Sequence[str] = ()
    max_parallel_stores: int = 1
    source_timeout: int = 86400
    extra_properties: Sequence[str] = (
        "hw_", "trait:", "os_distro", "os_secure_boot", "os_type",
    )  # fmt: skip

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(
            conf.image_import_opts,
            extra_properties=tuple(conf.glance_download_properties.extra_properties),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class TaskSettings(_FromGroup):
    """Tasks: the groups ``[task]``, ``[taskflow_executor]`` and ``[wsgi]``."""

    task_time_to_live: int = 48
    engine_mode: str = "parallel"
    max_workers: int = 10
    task_pool_threads: int = 16
    python_interpreter: str | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls(
            task_time_to_live=conf.task.task_time_to_live,
            engine_mode=conf.taskflow_executor.engine_mode,
            max_workers=conf.taskflow_executor.max_workers,
            task_pool_threads=conf.wsgi.task_pool_threads,
            python_interpreter=conf.wsgi.python_interpreter,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class StoreSettings(_FromGroup):
    """Which stores there are; empty ``enabled_backends`` is one store without a name."""

    enabled_backends: Mapping[str, str] = dataclasses.field(default_factory=dict)
    default_backend: str | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """In a registry ``default_backend`` is None: it does not register options of stores."""
        enabled = conf.enabled_backends or {}
        has_default = bool(enabled) and "glance_store" in conf
        return cls(
            enabled_backends=dict(enabled),
            default_backend=conf.glance_store.default_backend if has_default else None,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class CacheSettings(_FromGroup):
    """The image cache of this host; no directory is no cache."""

    image_cache_dir: str | None = None
    image_cache_driver: str = "centralized_db"
    image_cache_max_size: int = 10 * 1024**3
    image_cache_stall_time: int = 86400
    image_cache_sqlite_db: str = "cache.db"
    worker_self_reference_url: str | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf)


@dataclasses.dataclass(frozen=True, slots=True)
class UriFilterSettings(_FromGroup):
    """Which URLs of clients the service requests: the group ``[import_filtering_opts]``."""

    allowed_schemes: Sequence[str] = ("http", "https")
    disallowed_schemes: Sequence[str] = ()
    allowed_hosts: Sequence[str] = ()
    disallowed_hosts: Sequence[str] = ()
    allowed_ports: Sequence[int] = (80, 443)
    disallowed_ports: Sequence[int] = ()
    deny_private_addresses: bool = False

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf.import_filtering_opts)


@dataclasses.dataclass(frozen=True, slots=True)
class NotificationSettings(_FromGroup):
    """Which notifications are sent, and in whose name."""

    default_publisher_id: str = "image.localhost"
    disabled_notifications: Sequence[str] = ()

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf)


@dataclasses.dataclass(frozen=True, slots=True)
class PolicySettings(_FromGroup):
    """The group ``[oslo_policy]``, as far as the service itself reads it."""

    enforce_new_defaults: bool = True
    policy_file: str = "policy.yaml"
    policy_dirs: Sequence[str] = ("policy.d",)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf.oslo_policy)


@dataclasses.dataclass(frozen=True, slots=True)
class PasteSettings(_FromGroup):
    """Which WSGI pipeline is built: the group ``[paste_deploy]``."""

    flavor: str | None = None
    config_file: str | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf.paste_deploy)


@dataclasses.dataclass(frozen=True, slots=True)
class RegistrySettings(_FromGroup):
    """How an API host reaches the registry; timeouts in seconds."""

    data_api: str = "glance.db.sqlalchemy.api"
    registry_host: str = "127.0.0.1"
    registry_port: int = 9191
    registry_client_protocol: str = "http"
    registry_client_key_file: str | None = None
    registry_client_cert_file: str | None = None
    registry_client_ca_file: str | None = None
    registry_client_insecure: bool = False
    registry_client_timeout: int = 60
    send_identity_headers: bool = False
    registry_shared_secret: str | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf)


@dataclasses.dataclass(frozen=True, slots=True)
class ServerSettings(_FromGroup):
    """The server of the ``glance-api`` and ``glance-registry`` commands; times in seconds."""

    bind_host: str = "0.0.0.0"  # noqa: S104 - the default of the option
    bind_port: int = 9292
    workers: int | None = None
    threads: int = 32
    backlog: int = 4096
    tcp_keepidle: int = 600
    client_socket_timeout: int = 900
    max_header_line: int = 16384
    graceful_shutdown_timeout: int = 60

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        return cls._read(conf)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one process."""

    api: ApiSettings = ApiSettings()
    host: HostSettings = HostSettings()
    quota: QuotaSettings = QuotaSettings()
    property_protection: PropertyProtectionSettings = PropertyProtectionSettings()
    formats: FormatSettings = FormatSettings()
    data: DataSettings = DataSettings()
    imports: ImportSettings = ImportSettings()
    tasks: TaskSettings = TaskSettings()
    stores: StoreSettings = dataclasses.field(default_factory=StoreSettings)
    cache: CacheSettings = CacheSettings()
    uri_filter: UriFilterSettings = UriFilterSettings()
    notifications: NotificationSettings = NotificationSettings()
    policy: PolicySettings = PolicySettings()
    paste: PasteSettings = PasteSettings()
    registry: RegistrySettings = RegistrySettings()
    server: ServerSettings = ServerSettings()
    #: The operator's ``schema-image.json`` beside the configuration files, None without one.
    schema_image_file: str | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """Read everything.

        :param conf: a ConfigOpts that has read its files, with the options of ``config.register``
            and those of the stores.
        :raises ValueError: a value cannot be used; the text names section and option.
        """
        return cls(
            api=ApiSettings.from_conf(conf),
            host=HostSettings.from_conf(conf),
            quota=QuotaSettings.from_conf(conf),
            property_protection=PropertyProtectionSettings.from_conf(conf),
            formats=FormatSettings.from_conf(conf),
            data=DataSettings.from_conf(conf),
            imports=ImportSettings.from_conf(conf),
            tasks=TaskSettings.from_conf(conf),
            stores=StoreSettings.from_conf(conf),
            cache=CacheSettings.from_conf(conf),
            uri_filter=UriFilterSettings.from_conf(conf),
            notifications=NotificationSettings.from_conf(conf),
            policy=PolicySettings.from_conf(conf),
            paste=PasteSettings.from_conf(conf),
            registry=RegistrySettings.from_conf(conf),
            server=ServerSettings.from_conf(conf),
            schema_image_file=conf.find_file("schema-image.json"),
        )
