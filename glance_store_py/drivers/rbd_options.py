"""The spec of RBD stores: their options, their URLs, and where the driver is.

Needs no Ceph library.
"""

from __future__ import annotations

import dataclasses
from urllib.parse import quote, unquote

from oslo_config import cfg

from glance_store_py import errors
from glance_store_py.driver_settings import DriverSettings
from glance_store_py.driver_spec import DriverSpec
from glance_store_py.location import StoreLocation, has_unprintable

OPTIONS = (
    cfg.IntOpt(
        "rbd_store_chunk_size",
        default=8,
        min=1,
        help="Size in MiB of the RADOS objects that an image is made of; the next lower power "
        "of two is used.",
    ),
    cfg.StrOpt(
        "rbd_store_pool",
        default="images",
        help="Pool that holds the images. Only images in this pool are read and removed.",
    ),
    cfg.StrOpt(
        "rbd_store_user",
        help="Ceph user, without the leading 'client.'. Left unset, Ceph's own default is used "
        "(admin). The user's keyring is found by way of the Ceph configuration.",
    ),
    cfg.StrOpt(
        "rbd_store_ceph_conf",
        default="",
        help="Ceph configuration file. Left empty, Ceph looks in its usual places. A line with "
        "the cluster's fsid there lets addresses be judged before the cluster was reached.",
    ),
    cfg.IntOpt(
        "rados_connect_timeout",
        default=-1,
        help="Seconds to wait for the cluster: for the connection, and for each answer of a "
        "monitor or OSD. A negative number leaves it to the Ceph configuration, where answers "
        "are waited for without end unless it says otherwise.",
    ),
    cfg.BoolOpt(
        "rbd_thin_provisioning",
        default=False,
        help="Write nothing where the data is zero.",
    ),
)


@dataclasses.dataclass(frozen=True, repr=False)
class RbdSettings(DriverSettings):
    """The options of an RBD store; their help says what they mean."""

    rbd_store_chunk_size: int
    rbd_store_pool: str
    rbd_store_user: str | None
    rbd_store_ceph_conf: str
    rados_connect_timeout: int
    rbd_thin_provisioning: bool


def _parse(scheme: str, rest: str) -> StoreLocation:
    """Parse ``<fsid>/<pool>/<image>/<snapshot>``, percent-encoded, or ``<image>`` alone."""
    parts = [quote(unquote(part), safe="") for part in rest.split("/")]
    if len(parts) not in (1, 4) or not all(parts) or has_unprintable(rest):
        raise errors.BadStoreUri("An rbd address is rbd://fsid/pool/image/snapshot.")
    return StoreLocation(scheme, parts[0], "".join(f"/{part}" for part in parts[1:]))


SPEC = DriverSpec(
    name="rbd",
    schemes=("rbd",),
    parse=_parse,
    import_path="glance_store_py.drivers.rbd:RbdDriver",
    options=OPTIONS,
    aliases=("glance.store.rbd.Store",),
)
