"""Is this worker fit to serve?  Backends for the health check of oslo.middleware.

``glance_database``, ``glance_stores`` and ``glance_staging`` are named in the
section of a paste file that says what ready means.  Each look is limited in
time and remembered for a moment, so that neither a hanging file server nor a
busy load balancer occupies this worker.  Whether the process lives at all is
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

from glance_py.middleware import composition

LOG = logging.getLogger(__name__)

#: Seconds for which what was seen is believed, and for which a look may take.
BELIEVE = 5.0
PATIENCE = 3.0


class Probe:
    """One thing that is looked at, by one thread at a time.

    :param look: returns when the thing is well, else raises.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._seen: tuple[float, str | None] | None = None
        self._done: threading.Event | None = None

    def start(self) -> None:
        """Begin to look, unless somebody does already or did a moment ago."""
        with self._lock:
            fresh = self._seen is not None and time.monotonic() - self._seen[0] < BELIEVE
            if fresh or self._done is not None:
                return
            self._done = threading.Event()
            threading.Thread(target=self._run, args=(self._done,), name="health",
                             daemon=True).start()

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

    def wrong(self, deadline: float) -> str | None:
        """What is wrong with the thing, None when it is well.

        :param deadline: until when (time.monotonic) to wait for the answer.
        """
        done = self._done
        if done is not None and not done.wait(max(0.0, deadline - time.monotonic())):
            return f"no answer within {PATIENCE:.0f} seconds"
        return self._seen[1] if self._seen else None


class _Backend(pluginbase.HealthcheckBaseExtension):
    """Built by the library while the pipeline is being composed."""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._parts = composition.current()

    def _judged(self, probes: dict[str, Probe]) -> dict[str, str]:
        """What is wrong, by what it is wrong with; all are looked at together."""
        for probe in probes.values():
            probe.start()
        deadline = time.monotonic() + PATIENCE
        wrong = {what: probe.wrong(deadline) for what, probe in probes.items()}
        return {what: sentence for what, sentence in wrong.items() if sentence is not None}


class Database(_Backend):
    """Does the database answer?"""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._probes = {"database": Probe(self._parts.ping)}

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when it does not."""
        wrong = self._judged(self._probes)
        if wrong:
            return HealthcheckResult(False, "The database does not answer", wrong["database"])
        return HealthcheckResult(True, "OK", "The database answers")


class Stores(_Backend):
    """Are the stores well?"""

    def __init__(self, oslo_conf: Any, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        stores = self._parts.stores
        self._default = stores.default
        self._probes = {
            store: Probe(functools.partial(stores.check, store)) for store in stores.ids}

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when the default store is not.

        Another store that is away is named, but what the others hold can be served.
        """
        wrong = self._judged(self._probes)
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
        self._probes = {"staging": Probe(self._look)}

    def _look(self) -> None:
        free = self._parts.staging_room()
        if free < self._least:
            raise OSError(f"{free} bytes are free, of which there should be {self._least}")

    def healthcheck(self, server_port: int) -> HealthcheckResult:
        """Unavailable when there is not enough."""
        wrong = self._judged(self._probes)
        if wrong:
            return HealthcheckResult(False, "Staging has no room", wrong["staging"])
        return HealthcheckResult(True, "OK", "Staging has room")
