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
from glance_py.middleware import composition

LOG = logging.getLogger(__name__)

#: Seconds for which what was seen is believed, and for which a look may take.
BELIEVE = 5.0
PATIENCE = 3.0
#: Seconds for which it is believed that Keystone gives this service a token: each look takes one.
BELIEVE_IDENTITY = 60.0


class Probe:
    """One thing that is looked at, by one thread at a time.

    :param look: returns when the thing is well, else raises.
    :param believe: seconds for which that it is well is believed; BELIEVE unless given, which
        also holds for what is wrong.
    """

    def __init__(self, look: Callable[[], None], believe: float | None = None) -> None:
        self._look = look
        self._believe = believe
        self._started = 0.0
        self._lock = threading.Lock()
        self._seen: tuple[float, str | None] | None = None
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
        if self._seen is None:
            return False
        when, wrong = self._seen
        believe = BELIEVE if self._believe is None or wrong else self._believe
        return time.monotonic() - when < believe

    def _run(self, done: threading.Event) -> None:
        wrong = None
        try:
            self._look()
        except Exception as error:
            LOG.warning("Health check: %s: %s", type(error).__name__, error)
            wrong = type(error).__name__  # the rest may be nobody's business
        with self._lock:
            self._seen, self._done = (time.monotonic(), wrong), None
        done.set()

    def wrong(self) -> str | None:
        """What is wrong with the thing, None when it is well.

        Waits until PATIENCE has passed since the look began.
        """
        done = self._done
        if done is not None and not done.wait(
            max(0.0, self._started + PATIENCE - time.monotonic())
        ):
            return f"no answer within {PATIENCE:.0f} seconds"
        return self._seen[1] if self._seen else None


class _Backend(pluginbase.HealthcheckBaseExtension):
    """Built by the library while the pipeline is being composed."""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._parts = composition.current()
        self._probes: dict[str, Probe] = {}

    def _watch(self, probes: dict[str, Probe]) -> None:
        """Set what this backend looks at."""
        self._probes = probes
        self._parts.health.extend(probes.values())

    def _judged(self) -> dict[str, str]:
        """What is wrong, by what it is wrong with."""
        # Backends are asked one after the other; their looks need not wait for each other.
        for probe in self._parts.health:
            probe.start()
        wrong = {what: probe.wrong() for what, probe in self._probes.items()}
        return {what: sentence for what, sentence in wrong.items() if sentence is not None}


class Database(_Backend):
    """Does the database answer, and has it the schema of this release?"""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._watch({"database": Probe(self._parts.ping)})

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when not."""
        wrong = self._judged()
        if wrong.get("database") == errors.DatabaseNotReady.__name__:
            return HealthcheckResult(
                False, "The database has not the schema of this release", wrong["database"]
            )
        if wrong:
            return HealthcheckResult(False, "The database does not answer", wrong["database"])
        return HealthcheckResult(True, "OK", "The database answers")


class Identity(_Backend):
    """Does Keystone give this service a token?

    Without one no token of a caller can be checked.  In a pipeline without Keystone there is
    nothing to ask.
    """

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        look = self._parts.probes.get("identity")
        self._watch({"identity": Probe(look, BELIEVE_IDENTITY)} if look else {})

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when it does not."""
        wrong = self._judged()
        if wrong:
            return HealthcheckResult(
                False, "Keystone gives this service no token", wrong["identity"]
            )
        return HealthcheckResult(True, "OK", "Keystone gives this service a token")


class Stores(_Backend):
    """Are the stores well?"""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        stores = self._parts.stores
        self._default = stores.default
        self._watch(
            {store: Probe(functools.partial(stores.health_check, store)) for store in stores.ids}
        )

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when the default store is not.

        Another store that is away is named, but what the others hold can be served.
        """
        wrong = self._judged()
        if not wrong:
            return HealthcheckResult(True, "OK", "All stores are well")
        ill = ", ".join(store or "default" for store in wrong)
        details = "; ".join(f"{store}: {sentence}" for store, sentence in wrong.items())
        return HealthcheckResult(self._default not in wrong, f"Not well: store {ill}", details)


class Staging(_Backend):
    """Is there room for data that waits for its import?

    ``staging_min_free`` of the paste section is in bytes; 1 GiB unless given.
    """

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._least = int(conf.get("staging_min_free", 1 << 30))
        self._watch({"staging": Probe(self._look)})

    def _look(self) -> None:
        free = self._parts.staging_free_bytes()
        if free < self._least:
            raise OSError(f"{free} bytes are free, of which there should be {self._least}")

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when there is not enough."""
        wrong = self._judged()
        if wrong:
            return HealthcheckResult(False, "Staging has no room", wrong["staging"])
        return HealthcheckResult(True, "OK", "Staging has room")
