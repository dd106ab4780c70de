"""Declarations of the options of the registry and of its clients."""

from __future__ import annotations

from oslo_config import cfg

#: Values of ``data_api`` for a database and for a registry.
SQL_DATA_APIS = ("glance.db.sqlalchemy.api", "sqlalchemy")
REGISTRY_DATA_APIS = ("glance.db.registry.api", "registry")

#: The section with the credentials of this host; keystoneauth declares its options.
SERVICE_USER_GROUP = "service_user"
#: Default of the option ``timeout`` of that section: seconds to wait for an answer of Keystone.
KEYSTONE_TIMEOUT = 5
#: Default of ``registry_port`` on API hosts and of ``bind_port`` on a registry.
DEFAULT_PORT = 9191

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "data_api",
        default=SQL_DATA_APIS[0],
        choices=[*SQL_DATA_APIS, *REGISTRY_DATA_APIS],
        help="How this host accesses the records of images: ``sqlalchemy`` by the database in "
        "section [database], ``registry`` by a glance-registry, so that this host needs no "
        "access to the database. The long names are equivalent.",
    ),
    cfg.HostAddressOpt(
        "registry_host",
        default="127.0.0.1",
        help="Address of the registry, or of the load balancer in front of several.",
    ),
    cfg.PortOpt("registry_port", default=DEFAULT_PORT, help="TCP port of the registry."),
    cfg.StrOpt(
        "registry_client_protocol",
        default="http",
        choices=["http", "https"],
        help="Protocol between this host and the registry.",
    ),
    cfg.StrOpt(
        "registry_client_key_file", help="File with the private key of registry_client_cert_file."
    ),
    cfg.StrOpt(
        "registry_client_cert_file",
        help="File with the client certificate of this host for the registry.",
    ),
    cfg.StrOpt(
        "registry_client_ca_file",
        help="File with the CA certificates that may sign the registry's certificate. Unset: "
        "those of the system.",
    ),
    cfg.BoolOpt(
        "registry_client_insecure",
        default=False,
        help="Do not check the certificate of the registry. A host on the network path can then "
        "read and change all requests.",
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
        help="Send the identity of the caller in headers instead of its token: for a registry with "
        "the flavor trusted-auth, which does not use Keystone.",
    ),
    cfg.StrOpt(
        "registry_shared_secret",
        secret=True,
        help="Shared secret of API hosts and registries with the flavor trusted-auth. Without it "
        "such a registry accepts the identity headers of every host that reaches its port.",
    ),
]
