"""The spec of Cinder stores: their options, their URLs, and where the driver is.

Needs no client library.
"""

from __future__ import annotations

import dataclasses
import uuid

from oslo_config import cfg

from glance_store_py import errors
from glance_store_py.driver_settings import DriverSettings
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation, has_unprintable

#: Where Cinder is, and the account that is used.
_SERVICE = (
    cfg.StrOpt(
        "cinder_catalog_info",
        default="volumev3::publicURL",
        help="Where the service catalog has Cinder, as service type, service name (may be "
        "empty) and endpoint type, divided by colons.",
    ),
    cfg.StrOpt(
        "cinder_endpoint_template",
        help="URL of Cinder, used instead of the catalog; %(tenant)s and %(project_id)s stand "
        "for the id of the project.",
    ),
    cfg.StrOpt(
        "cinder_os_region_name",
        deprecated_name="os_region_name",
        help="Region to look for in the service catalog.",
    ),
    cfg.StrOpt(
        "cinder_ca_certificates_file",
        help="File with the certificate authorities that Cinder and Keystone are checked against.",
    ),
    cfg.IntOpt(
        "cinder_http_retries",
        default=3,
        min=0,
        help="How often a request is sent again when the connection to Cinder fails.",
    ),
    cfg.BoolOpt(
        "cinder_api_insecure",
        default=False,
        help="Do not check certificates of Cinder and Keystone.",
    ),
    cfg.StrOpt(
        "cinder_store_auth_address",
        help="URL of Keystone, version 3. All volumes belong to one project: that of the user "
        "or of the application credential that is set here. One of the two is needed.",
    ),
    cfg.StrOpt("cinder_store_user_name", help="User who owns the volumes."),
    cfg.StrOpt(
        "cinder_store_user_domain_name", default="Default", help="Domain of cinder_store_user_name."
    ),
    cfg.StrOpt("cinder_store_password", secret=True, help="Password of cinder_store_user_name."),
    cfg.StrOpt(
        "cinder_store_application_credential_id",
        help="Application credential to use instead of a user and password.",
    ),
    cfg.StrOpt(
        "cinder_store_application_credential_secret",
        secret=True,
        help="Secret of cinder_store_application_credential_id.",
    ),
    cfg.StrOpt("cinder_store_project_name", help="Project that owns the volumes."),
    cfg.StrOpt(
        "cinder_store_project_domain_name",
        default="Default",
        help="Domain of cinder_store_project_name.",
    ),
)

#: How volumes are made and attached.
_VOLUMES = (
    cfg.StrOpt(
        "cinder_volume_type",
        help="Volume type of new volumes; Cinder's default when it is not set. Checked when "
        "the store is first written to.",
    ),
    cfg.IntOpt(
        "cinder_state_transition_timeout",
        default=300,
        min=0,
        help="Seconds to wait for a volume to be made, extended, attached or removed.",
    ),
    cfg.IntOpt(
        "cinder_attachment_retry_attempts",
        default=5,
        min=1,
        help="How often to try to attach a volume that is attached elsewhere.",
    ),
    cfg.BoolOpt(
        "cinder_do_extend_attached",
        default=False,
        help="Extend volumes while they are attached; the Cinder driver must be able to. "
        "Otherwise they are detached for it. Only matters when the size of the data is not "
        "known beforehand.",
    ),
    cfg.BoolOpt(
        "cinder_use_multipath",
        default=False,
        help="Attach volumes over several paths where the host can.",
    ),
    cfg.BoolOpt(
        "cinder_enforce_multipath",
        default=False,
        help="Refuse to attach volumes when the multipath daemon does not run. Only "
        "with cinder_use_multipath.",
    ),
    cfg.StrOpt(
        "cinder_mount_point_base",
        default="/var/lib/glance/mnt",
        help="Directory under which NFS shares are mounted.",
    ),
    cfg.StrOpt(
        "rootwrap_config",
        default="/etc/glance/rootwrap.conf",
        help="Configuration of glance-rootwrap, by which a service that is not root attaches "
        "volumes.",
    ),
)

OPTIONS = (*_SERVICE, *_VOLUMES)


@dataclasses.dataclass(frozen=True, repr=False)
class CinderSettings(DriverSettings):
    """The options of a Cinder store; their help says what they mean."""

    cinder_catalog_info: str
    cinder_endpoint_template: str | None
    cinder_os_region_name: str | None
    cinder_ca_certificates_file: str | None
    cinder_http_retries: int
    cinder_api_insecure: bool
    cinder_store_auth_address: str | None
    cinder_store_user_name: str | None
    cinder_store_user_domain_name: str
    cinder_store_password: str | None
    cinder_store_application_credential_id: str | None
    cinder_store_application_credential_secret: str | None
    cinder_store_project_name: str | None
    cinder_store_project_domain_name: str
    cinder_volume_type: str | None
    cinder_state_transition_timeout: int
    cinder_attachment_retry_attempts: int
    cinder_do_extend_attached: bool
    cinder_use_multipath: bool
    cinder_enforce_multipath: bool
    cinder_mount_point_base: str
    rootwrap_config: str


def _parse(scheme: str, rest: str) -> StoreLocation:
    """Parse ``<store>/<volume id>``, or ``<volume id>`` alone, which names no store."""
    store, _, volume = rest.rpartition("/")
    try:
        volume = str(uuid.UUID(volume))
    except ValueError:
        store = "/"
    if "/" in store or has_unprintable(store):
        raise errors.BadStoreUri("A cinder address is cinder://store/volume.")
    return StoreLocation(scheme, store, f"/{volume}") if store else StoreLocation(scheme, volume)


SPEC = DriverSpec(
    name="cinder",
    schemes=("cinder",),
    parse=_parse,
    import_path="glance_store_py.drivers.cinder:CinderDriver",
    options=OPTIONS,
    aliases=("glance.store.cinder.Store",),
)
