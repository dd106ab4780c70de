"""The options of the registry and of its clients, under the names that operators know."""

from __future__ import annotations

from oslo_config import cfg

#: Values of ``data_api`` and what they stand for.
SQL_DATA_APIS = ("glance.db.sqlalchemy.api", "sqlalchemy")
REGISTRY_DATA_APIS = ("glance.db.registry.api", "registry")

#: The section with the credentials that a host has of its own, as keystoneauth reads them.
SERVICE_USER_GROUP = "service_user"
#: Seconds that Keystone may take for an answer, unless the timeout of that section says otherwise.
KEYSTONE_TIMEOUT = 5
#: The port of a registry, on both sides.
DEFAULT_PORT = 9191

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "data_api",
        default=SQL_DATA_APIS[0],
        choices=[*SQL_DATA_APIS, *REGISTRY_DATA_APIS],
        help="Where the records of images are: ``sqlalchemy`` is the database of this "
        "host's [database] section, ``registry`` a glance-registry, so that this "
        "host needs no way into the database. The long names say the same.",
    ),
    cfg.HostAddressOpt(
        "registry_host",
        default="127.0.0.1",
        help="Address of the registry, or of what stands before several of them.",
    ),
    cfg.PortOpt("registry_port", default=DEFAULT_PORT, help="TCP port of the registry."),
    cfg.StrOpt(
        "registry_client_protocol",
        default="http",
        choices=["http", "https"],
        help="How the registry is spoken with.",
    ),
    cfg.StrOpt(
        "registry_client_key_file", help="File with the private key to registry_client_cert_file."
    ),
    cfg.StrOpt(
        "registry_client_cert_file",
        help="File with the certificate that this host shows to the registry.",
    ),
    cfg.StrOpt(
        "registry_client_ca_file",
        help="File with the certificates of those who may certify the registry. Unset: "
        "the system's.",
    ),
    cfg.BoolOpt(
        "registry_client_insecure",
        default=False,
        help="Speak with a registry whatever its certificate says. Whoever stands "
        "between it and this host then reads and changes everything.",
    ),
    cfg.IntOpt(
        "registry_client_timeout",
        min=1,
        default=60,
        help="Seconds to wait for an answer of the registry.",
    ),
    cfg.BoolOpt(
        "send_identity_headers",
        default=False,
        help="Tell the registry who the caller is instead of passing on the token: for "
        "a registry with the flavor trusted-auth, which asks no Keystone.",
    ),
    cfg.StrOpt(
        "registry_shared_secret",
        secret=True,
        help="A secret that API hosts and registries with the flavor trusted-auth share. "
        "Without it such a registry believes everybody who reaches its port.",
    ),
]
