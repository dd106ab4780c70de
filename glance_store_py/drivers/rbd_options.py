"""The options of an RBD store: declared here, so that listing them needs no Ceph library."""

from __future__ import annotations

from oslo_config import cfg

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
