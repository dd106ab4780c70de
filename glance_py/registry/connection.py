"""The way to a registry: HTTP over connections that are kept open.

It knows nothing of what it carries.  It never waits longer than it was told to,
and sends again what might have been done already only when it is told that this
does no harm.
"""

from __future__ import annotations

import logging
import os
import weakref
from typing import Any

import urllib3
from urllib3 import exceptions

from glance_py.domain import errors
from glance_py.registry import protocol

LOG = logging.getLogger(__name__)

#: Seconds for the registry to accept a connection.
CONNECT_TIMEOUT = 5.0
#: Seconds for the registry to answer a heartbeat: several must fit into a lease (30 s).
HEARTBEAT_TIMEOUT = 5.0

#: Nothing was sent yet.
_NOT_SENT = (exceptions.NewConnectionError, exceptions.ConnectTimeoutError)


class RegistryConnection:
    """A pool of connections to the registry of ``conf``; safe in threads and across a fork.

    :param timeout: seconds to wait for an answer, instead of what ``conf`` says.
    """

    def __init__(self, conf: Any, timeout: float | None = None) -> None:
        self._conf = conf
        timeout = timeout or conf.registry_client_timeout
        self._timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout)
        host = conf.registry_host
        self._host = f"[{host}]" if ":" in host else host
        self._port = conf.registry_port
        self._tls = _tls(conf) if conf.registry_client_protocol == "https" else None
        # As many as the process has threads; none is made before it is needed.
        self._max_connections = conf.threads + conf.wsgi.task_pool_threads
        self._connect()
        _reset_after_fork(self)

    def for_heartbeats(self) -> RegistryConnection:
        """Another way to the same registry that soon gives up."""
        return RegistryConnection(
            self._conf, min(HEARTBEAT_TIMEOUT, self._conf.registry_client_timeout)
        )

    def _connect(self) -> None:
        pool: type[urllib3.HTTPConnectionPool] = urllib3.HTTPConnectionPool
        more = {}
        if self._tls is not None:
            pool, more = urllib3.HTTPSConnectionPool, self._tls
        self._pool = pool(
            self._host,
            self._port,
            timeout=self._timeout,
            maxsize=self._max_connections,
            retries=False,
            **more,
        )

    def reset(self) -> None:
        """In a child process: leave the sockets to the parent."""
        self._connect()

    def post(self, body: bytes, headers: dict[str, str], is_repeatable: bool) -> tuple[int, bytes]:
        """Send a request and take the answer.

        :param is_repeatable: does it do no harm when it is done twice?
        :returns: status and body.
        :raises errors.DatabaseUnavailable: there was no answer.
        :raises errors.OutcomeUnknown: there was none to a request that was, perhaps, received,
            and that does harm when it is done twice.
        """
        for last in (False, True):
            try:
                answer = self._pool.urlopen(
                    "POST", protocol.PATH, body=body, headers=headers, redirect=False
                )
                return answer.status, answer.data
            except exceptions.HTTPError as error:
                if not last and (
                    isinstance(error, _NOT_SENT)
                    or is_repeatable
                    and isinstance(error, exceptions.ProtocolError)
                ):
                    continue  # a registry that was started again, or another one
                LOG.error(
                    "The registry at %s:%s does not answer: %s", self._host, self._port, error
                )
                if is_repeatable or isinstance(error, _NOT_SENT):
                    raise errors.DatabaseUnavailable() from error
                raise errors.OutcomeUnknown() from error
        raise errors.DatabaseUnavailable()


def _tls(conf: Any) -> dict[str, Any]:
    """What urllib3 has to know of certificates.

    :raises ValueError: a file is missing.
    """
    for name in ("key", "cert", "ca"):
        path = conf[f"registry_client_{name}_file"]
        if path and not os.path.exists(path):
            raise ValueError(f"[DEFAULT] registry_client_{name}_file: there is no file {path!r}.")
    if conf.registry_client_key_file and not conf.registry_client_cert_file:
        raise ValueError("[DEFAULT] registry_client_key_file needs registry_client_cert_file.")
    settings: dict[str, Any] = {
        "key_file": conf.registry_client_key_file,
        "cert_file": conf.registry_client_cert_file,
        "ca_certs": conf.registry_client_ca_file,
        "cert_reqs": "CERT_REQUIRED",
    }
    if conf.registry_client_insecure:
        LOG.warning(
            "registry_client_insecure is on: whoever stands between this host and the "
            "registry reads and changes everything."
        )
        settings.update(cert_reqs="CERT_NONE", assert_hostname=False)
    return settings


def _reset_after_fork(connection: RegistryConnection) -> None:
    reference = weakref.ref(connection)

    def reset_inherited() -> None:
        if (inherited := reference()) is not None:
            inherited.reset()

    os.register_at_fork(after_in_child=reset_inherited)
