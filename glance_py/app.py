"""The composition root: options in, WSGI application out.

Builds everything that exists once in a process and hands each part to those
that need it; after that nobody asks where anything comes from.  Holds no
behaviour of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from glance_py import config, gateway, limits, pipeline, recovery, reports
from glance_py.cache import build as image_cache
from glance_py.cache.image_cache import ImageCache
from glance_py.cache.prefetch import Prefetcher
from glance_py.claims import STAGING_STORE, Claims, Clock
from glance_py.context import RequestContext
from glance_py.data_access import is_remote, open_records
from glance_py.domain.errors import GlanceError
from glance_py.domain.ports import Download, Records
from glance_py.http.router import API
from glance_py.importing import registration
from glance_py.importing.background import Background
from glance_py.importing.importer import Importer
from glance_py.layers.address import store_judge
from glance_py.layers.location import LocationProxy
from glance_py.layers.property_protection import BadRules, PropertyProtections
from glance_py.layers.tasks import work_tasks
from glance_py.middleware import composition
from glance_py.middleware.catch_errors import CatchErrors
from glance_py.notifications.notifier import Notifier
from glance_py.outgoing import UriFilter
from glance_py.policies.enforcer import Enforcer
from glance_store_py.errors import GlanceStoreError
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

#: What keeps the service from starting; each with a sentence for the operator.
START_ERRORS = (
    config.ConfigurationError,
    pipeline.PipelineError,
    BadRules,
    GlanceError,
    GlanceStoreError,
    ValueError,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """The WSGI application and what it is made of.

    Built before or after a server forks its workers; :meth:`begin` is for each
    worker.
    """

    app: Callable
    services: gateway.Services
    importer: Importer
    prefetcher: Prefetcher | None = None
    #: What the pipeline demands of a server, see ``composition.LOOPBACK``.
    demands: frozenset[str] = frozenset()

    def begin(self) -> None:
        """Start what runs beside requests in a process that serves."""
        reports.start(self.services.conf, "glance-api")
        importer = self.importer
        recovery_of(self.services, importer).start()
        if self.prefetcher is not None:
            self.prefetcher.resume()


def recovery_of(
    services: gateway.Services, importer: Importer, clock: Clock = time
) -> recovery.Recovery:
    """What finds and ends work that dead processes left."""
    return recovery.Recovery(
        services,
        recovery.recoverers(
            importer,
            functools.partial(
                registration.recover,
                services.records,
                importer.images,
                importer.background.tasks,
                services.claims,
            ),
        ),
        importer.recover_staging,
        clock,
    )


def build(conf: cfg.ConfigOpts) -> Callable:
    """The WSGI application for ``conf``.

    :raises config.ConfigurationError, pipeline.PipelineError: with a sentence
        for the operator.
    """
    return build_service(conf).app


def build_service(conf: cfg.ConfigOpts) -> Service:
    """Everything of one process, at rest.

    :raises config.ConfigurationError, pipeline.PipelineError: with a sentence
        for the operator.
    """
    services = build_services(conf)
    verbs = gateway.build(services)
    cache, prefetcher = build_image_cache(services)
    api = API(verbs, conf, services.stores, services.enforcer, limits=services.limits, cache=cache)
    composed = composition.Composition(
        conf,
        services.enforcer,
        api,
        verbs.images,
        cache,
        services.notifier,
        services.records.ping,
        services.stores,
        functools.partial(staging_room, services.stores),
    )
    with composition.composing(composed):
        app = CatchErrors(pipeline.load(conf), conf)
    return Service(app, services, verbs.importer, prefetcher, frozenset(composed.demands))


@dataclasses.dataclass(frozen=True, slots=True)
class RegistryService:
    """The WSGI application of a registry."""

    app: Callable
    demands: frozenset[str] = frozenset()

    def begin(self) -> None:
        """Nothing runs beside requests: what dies with an API host, other API hosts bring back."""


def build_registry(conf: cfg.ConfigOpts) -> RegistryService:
    """The registry over the database of ``conf``.

    :raises config.ConfigurationError, pipeline.PipelineError: with a sentence
        for the operator.
    """
    from glance_py.registry.server import Registry

    if is_remote(conf):
        raise config.ConfigurationError(
            "[DEFAULT] data_api: a registry that asks a registry would ask itself in the end; "
            "set sqlalchemy here, and the registry on API hosts."
        )
    records = open_records(conf)
    composed = composition.Composition(
        conf,
        Enforcer(conf),
        Registry(records),
        images=None,
        cache=None,
        notifier=None,
        ping=records.ping,
    )
    with composition.composing(composed):
        app = CatchErrors(pipeline.load(conf, pipeline.REGISTRY), conf)
    return RegistryService(app, frozenset(composed.demands))


def staging_room(stores: Stores) -> int:
    """How many bytes are free where data waits for its import."""
    stores.check(STAGING_STORE)
    url = stores.location_of(STAGING_STORE, "image") or ""
    found = os.statvfs(os.path.dirname(urllib.parse.urlsplit(url).path))
    return found.f_bavail * found.f_frsize


def build_services(conf: cfg.ConfigOpts) -> gateway.Services:
    """What the layers work with."""
    records: Records = open_records(conf)
    heartbeats = records.for_heartbeats
    enforcer = Enforcer(conf)
    stores, uri_filter = Stores.from_config(conf), UriFilter(conf)
    stores.set_judge(store_judge(uri_filter))
    services = gateway.Services(
        conf=conf,
        records=records,
        stores=stores,
        enforcer=enforcer,
        notifier=Notifier(conf),
        claims=Claims(
            records.claims,
            records.images,
            beats=(None if heartbeats is None else lambda: heartbeats().claims),
        ),
        uri_filter=uri_filter,
        protections=PropertyProtections(conf, enforcer) if conf.property_protection_file else None,
        limits=(
            limits.Limits(records, conf.keystone_limits_cache_time)
            if conf.use_keystone_limits
            else None
        ),
    )
    return dataclasses.replace(
        services, background=Background(work_tasks(services), conf.wsgi.task_pool_threads)
    )


def build_image_cache(
    services: gateway.Services,
) -> tuple[ImageCache, Prefetcher] | tuple[None, None]:
    """The image cache of this node and what fetches into it; Nones when it has none.

    It reads the stores for whoever asks first, and on its own account for the
    queue; who may read what it holds is decided by those who ask it.

    :raises config.ConfigurationError: the directory cannot be used.
    """
    conf, images = services.conf, services.records.images
    if not conf.image_cache_dir:
        return None, None
    myself = RequestContext(is_admin=True)
    data = LocationProxy.build(images, services)
    try:
        return image_cache.build(
            conf,
            services.records.cached_images,
            open_data=lambda image, start, caller: data.download(
                caller or myself, image, Download(start)
            ),
            find=lambda image_id: images.get(myself, image_id),
        )
    except image_cache.Unusable as error:
        LOG.error("There is no image cache: %s", error)
        return None, None
    except OSError as error:
        raise config.ConfigurationError(
            f"[DEFAULT] image_cache_dir: {error.strerror}: {error.filename}"
        ) from None


def api_factory(global_conf: dict, **local_conf: str) -> Any:
    """Paste app factory of what ends the pipeline: the v2 API, or the registry."""
    return composition.current().api


@functools.cache
def wsgi_registry() -> Callable:
    """The same of a registry, from its own configuration file."""
    conf = config.load_registry((), cfg.CONF)
    config.setup_logging(conf)
    return build_registry(conf).app


@functools.cache
def wsgi_application() -> Callable:
    """The application of this process for a WSGI server, built at the first call.

    Reads the files of OS_GLANCE_CONFIG_DIR and uses the process-wide
    ``cfg.CONF``, because libraries in the pipeline look there.

    :raises config.ConfigurationError: there are none.
    """
    conf = config.load(conf=cfg.CONF)
    config.setup_logging(conf)
    service = build_service(conf)
    service.begin()
    return service.app


def prepare_stand_alone(conf: cfg.ConfigOpts) -> None:
    """Make database and directories when stand-alone was asked for, else nothing.

    An operator's database is never touched: that is what glance-manage is for.
    """
    if not config.is_stand_alone(conf):
        return
    from glance_py.db import engine, migrations

    for name in ("images", "staging", "tasks"):
        os.makedirs(os.path.join(conf.state_dir, name), exist_ok=True)
    database = engine.connect(conf)
    if migrations.pending(database) is not None:
        migrations.upgrade(database)
    LOG.warning(
        "Stand-alone, as was asked for: everybody is an administrator, and everything "
        "is kept in %s.",
        conf.state_dir,
    )
