"""The few calls of the Block Storage API (v3.54) that a Cinder store makes.

One Keystone session per process, made when it is first needed; it renews its
token by itself.  Every call carries a service token: without one Cinder does not
let go of volumes that are in use (OSSA-2023-003).  Touches no device.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from glance_store_py import errors
from glance_store_py.config import StoreOptions
from glance_store_py.drivers.deferred_delete import DeferredDeleter

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from keystoneauth1.plugin import BaseAuthPlugin

LOG = logging.getLogger(__name__)

VERSION = "3.54"

#: Seconds to wait for an answer; attaching waits for the storage behind Cinder.
TIMEOUT = 120
#: Seconds between two looks at a volume, at first and at most.
POLL_SECONDS = (0.1, 2.0)


class VolumeStateConflict(errors.GlanceStoreError):
    """Cinder refuses what it is asked in the state that the volume is in."""

    text = "The volume is not in a state in which Cinder would do this."


class VolumeClient:
    """The volumes of one project, as the settings of a store describe it."""

    def __init__(self, settings: StoreOptions) -> None:
        self._settings = settings
        self._deadline = settings["cinder_state_transition_timeout"]
        self._adapter: Adapter | None = None
        self._process = 0
        self._lock = threading.Lock()
        #: What Cinder could not be told yet.
        self.deferred = DeferredDeleter()

    def check_settings(self) -> None:
        """:raises errors.BadStoreConfiguration: they do not say who asks Cinder."""
        settings = self._settings
        if not settings["cinder_store_auth_address"]:
            raise settings.error(
                "cinder_store_auth_address",
                "a Cinder store needs an account of its own, and this is where Keystone is.",
            )
        if settings["cinder_store_application_credential_id"]:
            wanted = ["cinder_store_application_credential_secret"]
        else:
            wanted = [
                "cinder_store_user_name",
                "cinder_store_password",
                "cinder_store_project_name",
            ]
        for option in wanted:
            if not settings[option]:
                raise settings.error(
                    option,
                    "a Cinder store needs an account of its own: a user, "
                    "a password and a project, or an application credential.",
                )
        if len(settings["cinder_catalog_info"].split(":")) != 3:
            raise settings.error("cinder_catalog_info", "this is not type:name:endpoint.")

    def create(self, name: str, gib: int, metadata: dict[str, str]) -> str:
        """A new volume; its id.  Wait until it is ``available``.

        :raises errors.StorageFull: a quota does not allow it.
        """
        wanted: dict[str, Any] = {"name": name, "size": gib, "metadata": metadata}
        kind = self._settings["cinder_volume_type"]
        if kind:
            wanted["volume_type"] = kind
        try:
            return self._request("POST", "/volumes", {"volume": wanted})["volume"]["id"]
        except errors.StoreObjectNotFound:
            raise self._settings.error(
                "cinder_volume_type", f"there is no volume type '{kind}'."
            ) from None

    def show(self, volume: str) -> dict[str, Any]:
        """A volume as Cinder describes it."""
        return self._request("GET", f"/volumes/{volume}")["volume"]

    def delete(self, volume: str, wait: bool = True) -> None:
        """Remove a volume, and wait until it is gone.

        :raises errors.InUseByStore: Cinder refuses, or does not succeed.
        """
        try:
            self._request("DELETE", f"/volumes/{volume}")
        except VolumeStateConflict as error:
            raise errors.InUseByStore(f"The volume cannot be removed. {error}") from error
        if wait:
            with contextlib.suppress(errors.StoreObjectNotFound):
                self.wait(volume, {"deleted"})

    def extend(self, volume: str, gib: int, status: str) -> None:
        """Make a volume larger; it is in ``status`` before and after.

        :raises errors.StorageFull: it cannot be extended.
        """
        try:
            self._volume_action(volume, "os-extend", new_size=gib)
            found = self.wait(volume, {status})
        except (VolumeStateConflict, errors.InUseByStore) as error:
            raise errors.StorageFull() from error
        if found["size"] < gib:
            raise errors.StorageFull()

    def mark_complete(self, volume: str, metadata: dict[str, str]) -> None:
        """Record what a volume holds, instead of all that was recorded before, and let

        nobody write to it any more.
        """
        self._request("PUT", f"/volumes/{volume}/metadata", {"metadata": metadata})
        self._volume_action(volume, "os-update_readonly_flag", readonly=True)

    def find_by_metadata(self, metadata: dict[str, str]) -> list[dict[str, Any]]:
        """The volumes of which all this is recorded."""
        found = self._list("volumes", {"metadata": str(metadata)})  # A Python literal.
        return [volume for volume in found if metadata.items() <= volume["metadata"].items()]

    def attach(self, volume: str, connector: dict, mode: str) -> dict[str, Any]:
        """Attach a volume to a host, ``rw`` or ``ro``: the attachment with its

        ``connection_info``.

        :raises VolumeStateConflict: it is attached elsewhere.
        """
        wanted = {"volume_uuid": volume, "connector": connector, "mode": mode}
        return self._request("POST", "/attachments", {"attachment": wanted})["attachment"]

    def complete_attachment(self, attachment: str) -> None:
        """The host has connected the volume."""
        self._request("POST", f"/attachments/{attachment}/action", {"os-complete": None})

    def attachments(self, volume: str) -> list[dict[str, Any]]:
        """All attachments of a volume, with their hosts where these are told."""
        return [
            attachment
            for attachment in self._list("attachments", {"volume_id": volume})
            if attachment["volume_id"] == volume
        ]

    def detach(self, attachment: str) -> None:
        """Forget an attachment; one that is gone is no error."""
        with contextlib.suppress(errors.StoreObjectNotFound):
            self._request("DELETE", f"/attachments/{attachment}")

    def wait(self, volume: str, wanted: Collection[str]) -> dict[str, Any]:
        """Wait until a volume is in one of the states ``wanted``.

        :raises errors.InUseByStore: it went into an error state instead.
        :raises errors.StoreTimeout: it takes longer than the operator allows.
        """
        started = time.monotonic()
        pause, longest = POLL_SECONDS
        while True:
            found = self.show(volume)
            if found["status"] in wanted:
                return found
            if found["status"].startswith("error"):
                LOG.error("Volume %s is in state %s", volume, found["status"])
                raise errors.InUseByStore(f"The volume is in state {found['status']}.")
            if time.monotonic() - started > self._deadline:
                raise errors.StoreTimeout(self._deadline)
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def ping(self) -> None:
        """Does Cinder answer, and know who is asking?"""
        self._request("GET", "/volumes?limit=1")

    def _list(self, kind: str, filters: dict[str, str]) -> list[dict[str, Any]]:
        """Volumes or attachments, at least those that pass the filters.

        Which filters there are for whom the operator of Cinder decides
        (``resource_filters.json``).
        """
        try:
            return self._pages(kind, filters)
        except VolumeStateConflict:
            return self._pages(kind, {})

    def _pages(self, kind: str, query: dict[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            marker = {"marker": found[-1]["id"]} if found else {}
            page = self._request("GET", f"/{kind}/detail?{urlencode(query | marker)}")[kind]
            if not page:
                return found
            found += page

    def _volume_action(self, volume: str, action: str, **arguments: object) -> None:
        self._request("POST", f"/volumes/{volume}/action", {action: arguments})

    def _request(self, method: str, path: str, body: dict | None = None) -> dict[str, Any]:
        """The answer to a request; an empty one is an empty dictionary."""
        with _translate_errors(path):
            response = self._client().request(path, method, json=body)
        return response.json() if response.content else {}

    def _client(self) -> Adapter:
        with self._lock:
            # Connections are not shared with a parent process.
            if self._adapter is None or self._process != os.getpid():
                self._adapter, self._process = self._connect(), os.getpid()
            return self._adapter

    def _connect(self) -> Adapter:
        from keystoneauth1.adapter import Adapter
        from keystoneauth1.service_token import ServiceTokenAuthWrapper
        from keystoneauth1.session import Session

        settings = self._settings
        auth = self._auth()
        kind, name, interface = settings["cinder_catalog_info"].split(":")
        template = settings["cinder_endpoint_template"]
        verify = not settings["cinder_api_insecure"] and (
            settings["cinder_ca_certificates_file"] or True
        )
        return Adapter(
            Session(auth=ServiceTokenAuthWrapper(auth, auth), verify=verify, timeout=TIMEOUT),
            service_type=kind,
            service_name=name or None,
            interface=interface,
            region_name=settings["cinder_os_region_name"],
            endpoint_override=template and template.replace("%(tenant)s", "%(project_id)s"),
            default_microversion=VERSION,
            connect_retries=settings["cinder_http_retries"],
            status_code_retries=settings["cinder_http_retries"],  # of status 503
            user_agent="glance_store_py",
        )

    def _auth(self) -> BaseAuthPlugin:
        from keystoneauth1.identity import generic, v3

        settings = self._settings
        url = settings["cinder_store_auth_address"].rstrip("/")
        if settings["cinder_store_application_credential_id"]:
            return v3.ApplicationCredential(
                url if url.endswith("/v3") else f"{url}/v3",
                application_credential_id=settings["cinder_store_application_credential_id"],
                application_credential_secret=settings[
                    "cinder_store_application_credential_secret"
                ],
            )
        return generic.Password(
            url,
            username=settings["cinder_store_user_name"],
            password=settings["cinder_store_password"],
            user_domain_name=settings["cinder_store_user_domain_name"],
            project_name=settings["cinder_store_project_name"],
            project_domain_name=settings["cinder_store_project_domain_name"],
        )


@contextlib.contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    """Give what Cinder and Keystone answer the names of this library."""
    from keystoneauth1 import exceptions

    try:
        yield
    except exceptions.NotFound as error:
        raise errors.StoreObjectNotFound(path.strip("/")) from error
    except exceptions.RequestEntityTooLarge as error:
        raise errors.StorageFull() from error
    except (exceptions.BadRequest, exceptions.Conflict) as error:
        LOG.info("Cinder refuses %s: %s", path, error)
        raise VolumeStateConflict() from error
    except (exceptions.Unauthorized, exceptions.Forbidden) as error:
        LOG.error("Cinder or Keystone does not permit %s: %s", path, error)
        raise errors.StoreForbidden() from error
    except exceptions.ClientException as error:
        LOG.error("Cinder does not answer %s: %s", path, error)
        raise errors.RemoteServiceUnavailable("Cinder cannot be reached.") from error
