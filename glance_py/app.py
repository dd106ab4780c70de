"""The composition root: builds the WSGI application of a process from its options.

Each object that exists once in a process is made here and passed to the constructors that need
it.  There is no other behaviour in this module.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import time
import urllib.parse
from wsgiref.types import WSGIApplication

from oslo_config import cfg
from oslo_log import log as logging

from glance_py import config, gateway, limits, pipeline, recovery, reports
from glance_py.cache import build as image_cache
from glance_py.cache.driver import BadDriverConfiguration
from glance_py.cache.image_cache import ImageCache
from glance_py.cache.prefetch import Prefetcher
from glance_py.claims import Claims, LeaseTimes
from glance_py.context import get_admin_context
from glance_py.data_access import is_remote, open_repositories
from glance_py.dependencies import Dependencies
from glance_py.domain.errors import GlanceError
from glance_py.domain.ports import Download, Repositories
from glance_py.heartbeat import Clock, Heartbeat
from glance_py.http.router import API
from glance_py.importing import location_import
from glance_py.importing.importer import Importer
from glance_py.importing.staging_recovery import StagingRecovery
from glance_py.importing.task_executor import TaskExecutor
from glance_py.layers.location import LocationProxy
from glance_py.layers.location_validation import url_policy
from glance_py.layers.property_rules import InvalidPropertyRules, PropertyProtections
from glance_py.layers.tasks import internal_tasks
from glance_py.middleware.catch_errors import CatchErrors
from glance_py.middleware.factory_deps import (
    CacheDependencies,
    FactoryDependencies,
    needs_dependencies,
)
from glance_py.notifications.notifier import Notifier
from glance_py.policies.enforcer import Enforcer
from glance_py.safe_http import UriFilter, service_endpoints
from glance_py.settings import Settings
from glance_store_py.config import STAGING_STORE
from glance_store_py.errors import GlanceStoreError
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)

#: Errors that keep the service from starting; their texts are for the operator.
START_ERRORS = (
    config.ConfigurationError,
    pipeline.PipelineError,
    InvalidPropertyRules,
    GlanceError,
    GlanceStoreError,
    ValueError,
)


@dataclasses.dataclass(frozen=True, slots=True)
class ApiService:
    """The WSGI application of an API host, and the objects that it uses.

    Made before or after a server forks its workers; each worker calls :meth:`begin`.
    """

    app: WSGIApplication
    deps: Dependencies
    importer: Importer
    prefetcher: Prefetcher | None = None
    #: What the pipeline requires of a server, see ``factory_deps.LOOPBACK_ONLY``.
    server_requirements: frozenset[str] = frozenset()

    def begin(self) -> None:
        """Start the background threads of a process that serves requests."""
        reports.start(self.deps.conf, "glance-api")
        importer = self.importer
        build_recovery(self.deps, importer).start()
        if self.prefetcher is not None:
            self.prefetcher.resume()


def build_recovery(
    deps: Dependencies,
    importer: Importer,
    clock: Clock = time,
    times: LeaseTimes | None = None,
) -> recovery.Recovery:
    """The recovery of work that was abandoned by crashed processes."""
    recover_location_import = functools.partial(
        location_import.recover,
        deps.repositories,
        importer.images,
        importer.tasks,
        deps.claims,
    )
    return recovery.Recovery(
        deps.repositories,
        deps.stores,
        deps.claims,
        recovery.recovery_handlers(importer.recover, recover_location_import),
        StagingRecovery(deps.repositories, importer.staging).recover,
        recovery.host_lock(deps.conf, deps.stores),
        clock,
        times,
    )


def build(conf: cfg.ConfigOpts) -> WSGIApplication:
    """The WSGI application for ``conf``.

    :raises config.ConfigurationError, pipeline.PipelineError: an option or the Paste file cannot
        be used; the text is for the operator.
    """
    return build_service(conf).app


def build_service(conf: cfg.ConfigOpts) -> ApiService:
    """The service of one process, without its background threads.

    :raises config.ConfigurationError, pipeline.PipelineError: an option or the Paste file cannot
        be used; the text is for the operator.
    """
    deps = build_dependencies(conf)
    api = gateway.build(deps)
    cache, prefetcher = build_image_cache(deps)
    application = API(
        api, deps.settings, deps.stores, deps.enforcer, limits=deps.limits, cache=cache
    )
    pipeline_deps = FactoryDependencies(
        conf,
        deps.settings,
        deps.enforcer,
        application,
        deps.repositories.ping,
        cache=None if cache is None else CacheDependencies(api.images, cache, deps.notifier),
        stores=deps.stores,
        staging_free_bytes=functools.partial(staging_free_bytes, deps.stores),
    )
    app = CatchErrors(pipeline.load(pipeline_deps), deps.settings.api)
    return ApiService(
        app, deps, api.importer, prefetcher, frozenset(pipeline_deps.server_requirements)
    )


@dataclasses.dataclass(frozen=True, slots=True)
class RegistryService:
    """The WSGI application of a registry."""

    app: WSGIApplication
    server_requirements: frozenset[str] = frozenset()

    def begin(self) -> None:
        """Do nothing: a registry has no background threads; recovery runs on API hosts."""


def build_registry(conf: cfg.ConfigOpts) -> RegistryService:
    """The registry for the database of ``conf``.

    :raises config.ConfigurationError, pipeline.PipelineError: an option or the Paste file cannot
        be used; the text is for the operator.
    """
    from glance_py.registry.server import Registry

    if is_remote(conf):
        raise config.ConfigurationError(
            "[DEFAULT] data_api: a registry cannot use another registry; set sqlalchemy here, "
            "and the registry on API hosts."
        )
    repositories = open_repositories(conf)
    settings = Settings.from_conf(conf)
    pipeline_deps = FactoryDependencies(
        conf, settings, Enforcer(conf), Registry(repositories), repositories.ping
    )
    app = CatchErrors(pipeline.load(pipeline_deps, pipeline.REGISTRY), settings.api)
    return RegistryService(app, frozenset(pipeline_deps.server_requirements))


def staging_free_bytes(stores: Stores) -> int:
    """How many bytes are free in the staging store."""
    stores.health_check(STAGING_STORE)
    url = stores.predict_url(STAGING_STORE, "image") or ""
    found = os.statvfs(os.path.dirname(urllib.parse.urlsplit(url).path))
    return found.f_bavail * found.f_frsize


def build_dependencies(conf: cfg.ConfigOpts) -> Dependencies:
    """The objects that layers and background work share.

    :raises ValueError: an option cannot be used; the text names section and option.
    """
    repositories: Repositories = open_repositories(conf)
    heartbeats = repositories.for_heartbeats
    enforcer = Enforcer(conf)
    stores = Stores.from_config(conf)
    settings = Settings.from_conf(conf)  # reads options that Stores.from_config registers
    uri_filter = UriFilter(settings.uri_filter, functools.partial(service_endpoints, conf))
    stores.set_url_policy(url_policy(uri_filter))
    notifier = Notifier(conf, settings.notifications)
    tasks = internal_tasks(repositories.tasks, notifier, settings.tasks)
    claims = Claims(
        repositories.claims,
        repositories.images,
        open_heartbeat_records=(None if heartbeats is None else lambda: heartbeats().claims),
    )
    return Dependencies(
        conf=conf,
        settings=settings,
        repositories=repositories,
        stores=stores,
        enforcer=enforcer,
        notifier=notifier,
        claims=claims,
        uri_filter=uri_filter,
        task_executor=TaskExecutor(
            tasks, settings.tasks.task_pool_threads, Heartbeat("tasks", claims.times.heartbeat)
        ),
        protections=PropertyProtections(settings.property_protection, enforcer)
        if settings.property_protection.property_protection_file
        else None,
        limits=(
            limits.UnifiedLimits(repositories, settings.quota.keystone_limits_cache_time)
            if settings.quota.use_keystone_limits
            else None
        ),
    )


def build_image_cache(
    deps: Dependencies,
) -> tuple[ImageCache, Prefetcher] | tuple[None, None]:
    """The image cache of this host and its prefetcher; (None, None) when it has no cache.

    The cache reads stores as the caller that first requests an image, and as the service for
    queued images.  It does not check rights: the cache middleware does.

    :raises config.ConfigurationError: the directory cannot be used.
    """
    images, settings = deps.repositories.images, deps.settings.cache
    if not settings.image_cache_dir:
        return None, None
    admin_context = get_admin_context()
    data = LocationProxy.build(images, deps)
    try:
        return image_cache.build(
            settings.image_cache_dir,
            settings,
            deps.repositories.cached_images,
            open_data=lambda image, start, caller: data.download(
                caller or admin_context, image, Download(start)
            ),
            get_image=lambda image_id: images.get(admin_context, image_id),
        )
    except BadDriverConfiguration as error:
        LOG.error("There is no image cache: %s", error)
        return None, None
    except OSError as error:
        raise config.ConfigurationError(
            f"[DEFAULT] image_cache_dir: {error.strerror}: {error.filename}"
        ) from None


@needs_dependencies
def api_factory(
    deps: FactoryDependencies, global_conf: dict[str, str], /, **local_conf: str
) -> WSGIApplication:
    """Paste app factory of the application at the end of the pipeline: API v2 or registry."""
    return deps.application


@functools.cache
def wsgi_registry() -> WSGIApplication:
    """The registry of this process for a WSGI server, built at the first call.

    Reads the configuration files of the registry, see :func:`wsgi_application`.
    """
    conf = config.load_registry((), cfg.CONF)
    config.setup_logging(conf)
    return build_registry(conf).app


@functools.cache
def wsgi_application() -> WSGIApplication:
    """The application of this process for a WSGI server, built at the first call.

    Reads the files of OS_GLANCE_CONFIG_DIR and uses the process-wide
    ``cfg.CONF``, because libraries in the pipeline look there.

    :raises config.ConfigurationError: there are no files.
    """
    conf = config.load(conf=cfg.CONF)
    config.setup_logging(conf)
    service = build_service(conf)
    service.begin()
    return service.app


def prepare_stand_alone(conf: cfg.ConfigOpts) -> None:
    """Create database and directories for ``--stand-alone``; otherwise do nothing.

    An operator's database is created and upgraded by glance-manage only.
    """
    if not config.is_stand_alone(conf):
        return
    from glance_py.db import migrations
    from glance_py.db.database import open_database

    for name in ("images", "staging", "tasks"):
        os.makedirs(os.path.join(conf.state_dir, name), exist_ok=True)
    database = open_database(conf)
    if migrations.next_phase(database) is not None:
        migrations.upgrade(database)
    LOG.warning(
        "Stand-alone mode: all callers are administrators, and all data is in %s.",
        conf.state_dir,
    )
