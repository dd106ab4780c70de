"""Asks another worker of this service for what only it can do, as the caller.

Data that was staged on a worker's own disk is imported and removed there.  The
request goes out with the caller's token and comes back as it was answered.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from glance_py.domain import errors
from glance_py.domain.caller import Caller

LOG = logging.getLogger(__name__)

#: Seconds that the other worker has for its answer.
TIMEOUT_SECONDS = 60


def forward_request(
    conf,
    ctx: Caller,
    host: str,
    method: str,
    path: str,
    document: Mapping[str, object] | None = None,
) -> None:
    """Have ``host`` answer a request; returns when it did so with success.

    :param host: the base URL of the other worker, from the record of the image.
    :raises errors.PeerUnreachable: it did not answer.
    :raises errors.PeerFailed: it could not be spoken with.
    :raises errors.PeerRefused: it answered with an error.
    """
    from keystoneauth1 import exceptions, session, token_endpoint

    url = host.rstrip("/") + path
    speaker = session.Session(auth=token_endpoint.Token(host, ctx.auth_token or ""), **_tls(conf))
    try:
        answer = speaker.request(
            url,
            method,
            json=document,
            raise_exc=False,
            connect_retries=1,
            redirect=False,
            timeout=TIMEOUT_SECONDS,
            headers=_headers(ctx),
        )
    except (exceptions.ConnectFailure, exceptions.ConnectTimeout) as error:
        LOG.error("The worker %s cannot be reached: %s", host, type(error).__name__)
        raise errors.PeerUnreachable(
            "The worker that holds the staged data of the image cannot be reached; stage the "
            "data again if it does not come back."
        ) from error
    except exceptions.ClientException as error:
        LOG.error("The worker %s could not be spoken with: %s", host, type(error).__name__)
        raise errors.PeerFailed() from error
    if not 200 <= answer.status_code < 300:
        raise errors.PeerRefused(answer.status_code, answer.reason or "")


def _headers(ctx: Caller) -> dict[str, str]:
    """The request keeps its id, so that the logs of both workers tell one story."""
    headers = {"X-Openstack-Request-Id": ctx.request_id} if ctx.request_id else {}
    service_token = getattr(ctx, "service_token", None)
    if service_token:
        headers["X-Service-Token"] = service_token
    return headers


def _tls(conf) -> dict[str, Any]:
    """How the middleware of Keystone checks certificates is good for our own workers, too."""
    group = "keystone_authtoken"
    if group not in conf:
        return {}
    options = conf[group]
    if getattr(options, "insecure", False):
        return {"verify": False}
    cafile = getattr(options, "cafile", None)
    return {"verify": cafile} if cafile else {}
