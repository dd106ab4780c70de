"""Is this worker fit to serve?  Backends for the health check of oslo.middleware.

``glance_database``, ``glance_identity``, ``glance_stores`` and
``glance_staging`` are named in the section of a paste file that says what ready
means.  All looks begin together, each is limited in time and remembered for a
moment, so that neither a hanging server nor a busy load balancer occupies this
worker.  Whether the process lives at all is
not asked here: that must not depend on anything else.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from oslo_middleware.healthcheck import pluginbase
from oslo_middleware.healthcheck.pluginbase import HealthcheckResult

from glance_py.domain import errors
from glance_py.middleware import factory_deps

LOG = logging.getLogger(__name__)

#: Seconds for which what was seen is believed, and for which a look may take.
RESULT_TTL = 5.0
PROBE_TIMEOUT = 3.0
#: Seconds for which it is believed that Keystone gives this service a token: each look takes one.
IDENTITY_RESULT_TTL = 60.0


class Probe:
    """One thing that is looked at, by one thread at a time.

    :param check: returns when the thing is well, else raises.
    :param ttl: seconds for which that it is well is believed; RESULT_TTL unless given, which
        also holds for what is wrong.
    """

    def __init__(self, check: Callable[[], None], ttl: float | None = None) -> None:
        self._check = check
        self._ttl = ttl
        self._started = 0.0
        self._lock = threading.Lock()
        self._result: tuple[float, str | None] | None = None
        self._done: threading.Event | None = None

    def start(self) -> None:
        """Begin to look, unless somebody does already or did a moment ago."""
        with self._lock:
            if self._done is not None or self._is_fresh():
                return
            self._started = time.monotonic()
            self._done = threading.Event()
            threading.Thread(
                target=self._run, args=(self._done,), name="health", daemon=True
            ).start()

    def _is_fresh(self) -> bool:
        if self._result is None:
            return False
        when, failure = self._result
        ttl = RESULT_TTL if self._ttl is None or failure else self._ttl
        return time.monotonic() - when < ttl

    def _run(self, done: threading.Event) -> None:
        failure = None
        try:
            self._check()
        except Exception as error:
            LOG.warning("Health check: %s: %s", type(error).__name__, error)
            failure = type(error).__name__  # the rest may be nobody's business
        with self._lock:
            self._result, self._done = (time.monotonic(), failure), None
        done.set()

    def failure(self) -> str | None:
        """What is wrong with the thing, None when it is well.

        Waits until PROBE_TIMEOUT has passed since the look began.
        """
        done = self._done
        if done is not None and not done.wait(
            max(0.0, self._started + PROBE_TIMEOUT - time.monotonic())
        ):
            return f"no answer within {PROBE_TIMEOUT:.0f} seconds"
        return self._result[1] if self._result else None


class _Backend(pluginbase.HealthcheckBaseExtension):
    """Built by the library while the pipeline is being composed."""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._deps = factory_deps.current()
        self._probes: dict[str, Probe] = {}

    def _set_probes(self, probes: dict[str, Probe]) -> None:
        """Set what this backend looks at."""
        self._probes = probes
        self._deps.probes.extend(probes.values())

    def _failures(self) -> dict[str, str]:
        """What is wrong, by what it is wrong with."""
        # Backends are asked one after the other; their looks need not wait for each other.
        for probe in self._deps.probes:
            probe.start()
        failures = {what: probe.failure() for what, probe in self._probes.items()}
        return {what: message for what, message in failures.items() if message is not None}


class DatabaseHealthcheck(_Backend):
    """Does the database answer, and has it the schema of this release?"""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._set_probes({"database": Probe(self._deps.ping)})

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when not."""
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

    Without one no token of a caller can be checked.  In a pipeline without Keystone there is
    nothing to ask.
    """

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        check = self._deps.checks.get("identity")
        self._set_probes({"identity": Probe(check, IDENTITY_RESULT_TTL)} if check else {})

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when it does not."""
        failures = self._failures()
        if failures:
            return HealthcheckResult(
                False, "Keystone gives this service no token", failures["identity"]
            )
        return HealthcheckResult(True, "OK", "Keystone gives this service a token")


class StoresHealthcheck(_Backend):
    """Are the stores well?"""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        stores = self._deps.stores
        self._default = stores.default
        self._set_probes(
            {store: Probe(functools.partial(stores.health_check, store)) for store in stores.ids}
        )

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when the default store is not.

        Another store that is away is named, but what the others hold can be served.
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
    """Is there room for data that waits for its import?

    ``staging_min_free`` of the paste section is in bytes; 1 GiB unless given.
    """

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._min_free = int(conf.get("staging_min_free", 1 << 30))
        self._set_probes({"staging": Probe(self._check)})

    def _check(self) -> None:
        free = self._deps.staging_free_bytes()
        if free < self._min_free:
            raise OSError(f"{free} bytes are free, of which there should be {self._min_free}")

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when there is not enough."""
        failures = self._failures()
        if failures:
            return HealthcheckResult(False, "Staging has no room", failures["staging"])
        return HealthcheckResult(True, "OK", "Staging has room")
