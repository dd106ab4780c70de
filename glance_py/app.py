"""The composition root: options in, WSGI application out.

Builds everything that exists once in a process and hands each part to those
that need it; after that nobody asks where anything comes from.  Holds no
behaviour of its own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from glance_py import config, gateway, limits, notifications, pipeline, recovery
from glance_py.db.records import records as open_records
from glance_py.domain.ports import Records
from glance_py.http.router import API
from glance_py.layers.property_protection import PropertyProtections
from glance_py.middleware import composition
from glance_py.policies.enforcer import Enforcer
from glance_store_py.stores import Stores

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One process's service: the WSGI application and what commands want to reach."""

    app: Callable
    services: gateway.Services
    recovery: recovery.Recovery


def build(conf: cfg.ConfigOpts) -> Callable:
    """The WSGI application for ``conf``.

    :raises config.ConfigurationError, pipeline.PipelineError: with a sentence
        for the operator.
    """
    return build_service(conf).app


def build_service(conf: cfg.ConfigOpts) -> Service:
    """Everything of one process; background threads are not started yet."""
    services = build_services(conf)
    api = API(gateway.build(services), conf, services.stores, services.enforcer,
              limits=services.limits)
    with composition.composing(composition.Composition(conf, services.enforcer, api)):
        app = pipeline.load(conf)
    return Service(app, services, recovery.Recovery(services.records, services.stores))


def build_services(conf: cfg.ConfigOpts) -> gateway.Services:
    """What the layers work with."""
    records: Records = open_records(conf)
    enforcer = Enforcer(conf)
    return gateway.Services(
        conf=conf,
        records=records,
        stores=Stores.from_config(conf),
        enforcer=enforcer,
        notifier=notifications.Notifier(conf),
        lease=recovery.Lease(records),
        protections=PropertyProtections(conf, enforcer) if conf.property_protection_file else None,
        limits=limits.Limits(conf, records) if conf.use_keystone_limits else None,
    )


def api_factory(global_conf: dict, **local_conf: str) -> Any:
    """Paste app factory of the v2 API."""
    return composition.current().api


@functools.cache
def wsgi_application() -> Callable:
    """The application of this process for a WSGI server, built at the first call.

    Reads the files of OS_GLANCE_CONFIG_DIR and uses the process-wide
    ``cfg.CONF``, because libraries in the pipeline look there.
    """
    conf = config.load(conf=cfg.CONF)
    config.setup_logging(conf)
    return serve(conf)


def serve(conf: cfg.ConfigOpts) -> Callable:
    """Build the application and start what runs beside it in a serving process."""
    service = build_service(conf)
    service.recovery.start()
    return service.app
