"""Backends for the health check of oslo.middleware: is this worker ready to serve?

``glance_database``, ``glance_identity``, ``glance_stores`` and ``glance_staging`` are named in the
section of the health check in a paste file.  All checks start together in threads, each has a time
limit and its result is reused for some seconds (``probe.py``): a server that does not answer and a
load balancer that asks often take little of this worker.  Liveness is not checked here: it must
not depend on other servers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from oslo_middleware.healthcheck import pluginbase
from oslo_middleware.healthcheck.pluginbase import HealthcheckResult

from glance_py.domain import errors
from glance_py.middleware.factory_deps import FactoryDependencies
from glance_py.middleware.probe import Probe

#: Key of the FactoryDependencies in the section that the library passes on to each backend.
DEPENDENCIES = "glance_py.dependencies"

#: Seconds for which it is assumed that Keystone gives this service a token: each check takes one.
IDENTITY_RESULT_TTL = 60.0


class _Backend(pluginbase.HealthcheckBaseExtension):
    """Base of the backends; the library creates them when the first health check is requested.

    :param conf: the section of the paste file, and DEPENDENCIES.
    """

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._deps = _dependencies(conf)
        self._probes: dict[str, Probe] = {}

    def _set_probes(self, probes: dict[str, Probe]) -> None:
        """Set what this backend checks, by name."""
        self._probes = probes
        self._deps.probes.extend(probes.values())

    def _failures(self) -> dict[str, str]:
        """Name of a probe -> what failed."""
        # The library asks one backend after the other.  The probes of all backends start now, so
        # that the waiting times do not add up.
        for probe in self._deps.probes:
            probe.start()
        failures = {name: probe.failure() for name, probe in self._probes.items()}
        return {name: message for name, message in failures.items() if message is not None}


def _dependencies(conf: Mapping[str, object]) -> FactoryDependencies:
    deps = conf.get(DEPENDENCIES)
    if not isinstance(deps, FactoryDependencies):
        raise LookupError("this backend works in a pipeline of glance_py only")
    return deps


class DatabaseHealthcheck(_Backend):
    """Does the database answer, and has it the schema of this release?"""

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._set_probes({"database": Probe(self._deps.ping)})

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """The result; not available when one of the answers is no."""
        failures = self._failures()
        if failures.get("database") == errors.DatabaseNotReady.__name__:
            return HealthcheckResult(
                False, "The database has not the schema of this release", failures["database"]
            )
        if failures:
            return HealthcheckResult(False, "The database does not answer", failures["database"])
        return HealthcheckResult(True, "OK", "The database answers")


class IdentityHealthcheck(_Backend):
    """Does Keystone give this service a token?

    Without one it cannot verify tokens of callers.  A pipeline without Keystone is always
    available here.
    """

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        check = self._deps.checks.get("identity")
        self._set_probes({"identity": Probe(check, IDENTITY_RESULT_TTL)} if check else {})

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """The result; not available when Keystone gives no token."""
        failures = self._failures()
        if failures:
            return HealthcheckResult(
                False, "Keystone gives this service no token", failures["identity"]
            )
        return HealthcheckResult(True, "OK", "Keystone gives this service a token")


class StoresHealthcheck(_Backend):
    """Do the stores work?

    :raises LookupError: the service has none: a registry.
    """

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        stores = self._deps.stores
        if stores is None:
            raise LookupError("a registry has no stores; its backends cannot name glance_stores")
        self._default = stores.default
        self._set_probes(
            {store: Probe(functools.partial(stores.health_check, store)) for store in stores.ids}
        )

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """The result; not available when the default store does not work.

        The reason names other stores that do not work; images in working stores can be served.
        """
        failures = self._failures()
        if not failures:
            return HealthcheckResult(True, "OK", "All stores are well")
        failed_stores = ", ".join(store or "default" for store in failures)
        details = "; ".join(f"{store}: {message}" for store, message in failures.items())
        return HealthcheckResult(
            self._default not in failures, f"Not well: store {failed_stores}", details
        )


class StagingHealthcheck(_Backend):
    """Is there enough free space in the staging area, where data waits for its import?

    ``staging_min_free`` of the paste section is in bytes, 1 GiB by default.

    :raises LookupError: the service has no staging area: a registry.
    """

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        free_bytes = self._deps.staging_free_bytes
        if free_bytes is None:
            raise LookupError(
                "a registry has no staging area; its backends cannot name glance_staging"
            )
        self._free_bytes = free_bytes
        self._min_free = int(conf.get("staging_min_free", 1 << 30))
        self._set_probes({"staging": Probe(self._check)})

    def _check(self) -> None:
        free = self._free_bytes()
        if free < self._min_free:
            raise OSError(f"{free} bytes are free, of which there should be {self._min_free}")

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """The result; not available when there is not enough."""
        failures = self._failures()
        if failures:
            return HealthcheckResult(
                False, "Staging has too little free space", failures["staging"]
            )
        return HealthcheckResult(True, "OK", "Staging has enough free space")
