"""HTTP connections from an API host to a registry.

Connections are kept open and reused.  Every step has a timeout.  A request is sent a second time
only if the first was not sent, or if it may be executed twice.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import Any

import urllib3
from urllib3 import exceptions

from glance_py.domain import errors
from glance_py.registry import protocol
from glance_py.settings import RegistrySettings
from glance_store_py.process import PerProcess

LOG = logging.getLogger(__name__)

#: Seconds for the registry to accept a connection.
CONNECT_TIMEOUT = 5.0
#: Seconds for the registry to answer a heartbeat: several must fit into a lease (30 s).
HEARTBEAT_TIMEOUT = 5

#: Errors that urllib3 raises before it has sent a byte of the request.
_NOT_SENT = (exceptions.NewConnectionError, exceptions.ConnectTimeoutError)


class RegistryConnection:
    """A pool of connections to one registry.  Safe in threads and across a fork.

    :param max_connections: how many idle connections are kept.
    :raises ValueError: a file with a key or certificate does not exist.
    """

    def __init__(self, settings: RegistrySettings, max_connections: int) -> None:
        self._settings = settings
        self._max_connections = max_connections
        tls = _tls(settings) if settings.registry_client_protocol == "https" else None
        # A child process must not use the sockets of its parent.
        self._pool = PerProcess(lambda: self._open_pool(tls))

    def for_heartbeats(self) -> RegistryConnection:
        """Another connection to the same registry that waits HEARTBEAT_TIMEOUT for an answer."""
        timeout = min(HEARTBEAT_TIMEOUT, self._settings.registry_client_timeout)
        settings = dataclasses.replace(self._settings, registry_client_timeout=timeout)
        return RegistryConnection(settings, self._max_connections)

    def _open_pool(self, tls: dict[str, Any] | None) -> urllib3.HTTPConnectionPool:
        pool = urllib3.HTTPConnectionPool if tls is None else urllib3.HTTPSConnectionPool
        host, timeout = self._settings.registry_host, self._settings.registry_client_timeout
        return pool(
            f"[{host}]" if ":" in host else host,
            self._settings.registry_port,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
            maxsize=self._max_connections,
            retries=False,
            **(tls or {}),
        )

    def post(self, body: bytes, headers: dict[str, str], is_repeatable: bool) -> tuple[int, bytes]:
        """Send a request and return the status and the body of the answer.

        :param is_repeatable: the request may be executed twice.
        :raises errors.DatabaseUnavailable: there was no answer, and nothing was executed or the
            request is repeatable.
        :raises errors.OutcomeUnknown: there was no answer, and the registry may have executed the
            request, which is not repeatable.
        """
        try:
            return self._post_once(body, headers)
        except exceptions.HTTPError as error:
            if not (_was_not_sent(error) or is_repeatable and _was_interrupted(error)):
                raise self._failure(error, is_repeatable) from error
        # The registry was restarted, or a proxy chooses another one now.
        try:
            return self._post_once(body, headers)
        except exceptions.HTTPError as error:
            raise self._failure(error, is_repeatable) from error

    def _post_once(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        answer = self._pool.get().urlopen(
            "POST", protocol.PATH, body=body, headers=headers, redirect=False
        )
        return answer.status, answer.data

    def _failure(self, error: exceptions.HTTPError, is_repeatable: bool) -> errors.GlanceError:
        LOG.error(
            "The registry at %s port %s does not answer: %s",
            self._settings.registry_host,
            self._settings.registry_port,
            error,
        )
        if is_repeatable or _was_not_sent(error):
            return errors.DatabaseUnavailable()
        return errors.OutcomeUnknown()


def _was_not_sent(error: exceptions.HTTPError) -> bool:
    return isinstance(error, _NOT_SENT)


def _was_interrupted(error: exceptions.HTTPError) -> bool:
    """True when the connection was closed before an answer; not when a timeout expired."""
    return isinstance(error, exceptions.ProtocolError)


def _tls(settings: RegistrySettings) -> dict[str, Any]:
    """The arguments of urllib3.HTTPSConnectionPool about keys and certificates.

    :raises ValueError: a file does not exist.
    """
    files = {
        "key": settings.registry_client_key_file,
        "cert": settings.registry_client_cert_file,
        "ca": settings.registry_client_ca_file,
    }
    for name, path in files.items():
        if path and not os.path.exists(path):
            raise ValueError(f"[DEFAULT] registry_client_{name}_file: there is no file {path!r}.")
    if files["key"] and not files["cert"]:
        raise ValueError("[DEFAULT] registry_client_key_file needs registry_client_cert_file.")
    arguments: dict[str, Any] = {
        "key_file": files["key"],
        "cert_file": files["cert"],
        "ca_certs": files["ca"],
        "cert_reqs": "CERT_REQUIRED",
    }
    if settings.registry_client_insecure:
        LOG.warning(
            "registry_client_insecure is on: the certificate of the registry is not checked, so "
            "that a host on the network path can read and change all requests."
        )
        arguments.update(cert_reqs="CERT_NONE", assert_hostname=False)
    return arguments
