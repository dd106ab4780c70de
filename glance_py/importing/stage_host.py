"""Requests to another worker of this service, for data that is staged on its own disk.

The request is sent with the token of the caller, and an error of the other worker is passed on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from oslo_config import cfg

from glance_py.domain import errors
from glance_py.domain.caller import Caller

if TYPE_CHECKING:
    import requests

LOG = logging.getLogger(__name__)

#: Seconds that the other worker has for its answer.
TIMEOUT_SECONDS = 60


def forward_request(
    conf: cfg.ConfigOpts,
    ctx: Caller,
    host: str,
    method: str,
    path: str,
    document: Mapping[str, object] | None = None,
) -> None:
    """Send a request to ``host`` as the caller; returns when the answer is a success.

    :param conf: its [keystone_authtoken] says how certificates are verified.
    :param host: the base URL of the other worker, from the record of the image.
    :raises errors.PeerUnreachable: no connection, or no answer in time.
    :raises errors.PeerFailed: another error of the connection.
    :raises errors.PeerRefused: the answer is an error; its arguments are status and reason.
    """
    from keystoneauth1 import exceptions

    try:
        answer = _request(conf, ctx, host, method, path, document)
    except (exceptions.ConnectFailure, exceptions.ConnectTimeout) as error:
        LOG.error("The worker %s cannot be reached: %s", host, type(error).__name__)
        raise errors.PeerUnreachable(
            "The worker that holds the staged data of the image cannot be reached; stage the "
            "data again if it does not come back."
        ) from error
    except exceptions.ClientException as error:
        LOG.error("The request to the worker %s failed: %s", host, type(error).__name__)
        raise errors.PeerFailed() from error
    if not 200 <= answer.status_code < 300:
        raise errors.PeerRefused(answer.status_code, answer.reason or "")


def _request(
    conf: cfg.ConfigOpts,
    ctx: Caller,
    host: str,
    method: str,
    path: str,
    document: Mapping[str, object] | None,
) -> requests.Response:
    """Send the request with keystoneauth; returns the answer, whatever its status."""
    from keystoneauth1 import session, token_endpoint

    client = session.Session(
        auth=token_endpoint.Token(host, ctx.auth_token or ""), verify=_verify(conf)
    )
    return client.request(
        host.rstrip("/") + path,
        method,
        json=document,
        raise_exc=False,
        connect_retries=1,
        redirect=False,
        timeout=TIMEOUT_SECONDS,
        headers=_headers(ctx),
    )


def _headers(ctx: Caller) -> dict[str, str]:
    """The id of the request, for the log of the other worker, and the service token."""
    headers = {"X-Openstack-Request-Id": ctx.request_id} if ctx.request_id else {}
    service_token = getattr(ctx, "service_token", None)
    if service_token:
        headers["X-Service-Token"] = service_token
    return headers


def _verify(conf: cfg.ConfigOpts) -> bool | str:
    """How certificates are verified: as keystonemiddleware verifies those of Keystone.

    :returns: a file with certificates of authorities, or True for those of the system.
    """
    group = "keystone_authtoken"
    if group not in conf:
        return True
    options = conf[group]
    if getattr(options, "insecure", False):
        return False
    return getattr(options, "cafile", None) or True
