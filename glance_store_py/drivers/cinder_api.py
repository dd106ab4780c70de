"""The requests of the Block Storage API (v3.54) that a Cinder store sends.

One Keystone session per process, created at first use; it renews its token.  Every
request has a service token: without one Cinder does not detach volumes that are in use
(OSSA-2023-003).  Volumes and attachments are returned as Cinder describes them in JSON.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from glance_store_py import errors
from glance_store_py.drivers.cinder_options import CinderSettings
from glance_store_py.drivers.deferred_delete import DeferredDeleter
from glance_store_py.process import PerProcess

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from keystoneauth1.plugin import BaseAuthPlugin

LOG = logging.getLogger(__name__)

VERSION = "3.54"

#: Seconds to wait for an answer; attaching waits for the storage system of Cinder.
TIMEOUT = 120
#: Seconds between two requests for the state of a volume, at first and at most.
POLL_SECONDS = (0.1, 2.0)


class VolumeStateConflict(errors.GlanceStoreError):
    """Cinder refuses a request because of the state of the volume."""

    text = "The volume is not in a state in which Cinder would do this."


class VolumeClient:
    """The volumes of the project that the settings of a store name."""

    def __init__(self, settings: CinderSettings) -> None:
        self._settings = settings
        self._deadline = settings.cinder_state_transition_timeout
        self._adapter = PerProcess(self._connect)
        #: Deletions that failed because Cinder did not answer.
        self.deferred = DeferredDeleter()

    def check_settings(self) -> None:
        """Check that the settings name an account.

        :raises errors.BadStoreConfiguration: they do not.
        """
        settings = self._settings
        if not settings.cinder_store_auth_address:
            raise settings.error(
                "cinder_store_auth_address",
                "a Cinder store needs an account of its own, and this is where Keystone is.",
            )
        if settings.cinder_store_application_credential_id:
            wanted = ["cinder_store_application_credential_secret"]
        else:
            wanted = [
                "cinder_store_user_name",
                "cinder_store_password",
                "cinder_store_project_name",
            ]
        for option in wanted:
            if not getattr(settings, option):
                raise settings.error(
                    option,
                    "a Cinder store needs an account of its own: a user, "
                    "a password and a project, or an application credential.",
                )
        if len(settings.cinder_catalog_info.split(":")) != 3:
            raise settings.error("cinder_catalog_info", "this is not type:name:endpoint.")

    def create(self, name: str, gib: int, metadata: dict[str, str]) -> str:
        """Begin to create a volume of ``gib`` GiB; returns its id.  Wait until it is ``available``.

        :raises errors.StorageFull: a quota does not allow it.
        """
        wanted: dict[str, Any] = {"name": name, "size": gib, "metadata": metadata}
        kind = self._settings.cinder_volume_type
        if kind:
            wanted["volume_type"] = kind
        try:
            return str(self._request("POST", "/volumes", {"volume": wanted})["volume"]["id"])
        except errors.StoreObjectNotFound:
            raise self._settings.error(
                "cinder_volume_type", f"there is no volume type '{kind}'."
            ) from None

    def show(self, volume: str) -> dict[str, Any]:
        """A volume as Cinder describes it."""
        found: dict[str, Any] = self._request("GET", f"/volumes/{volume}")["volume"]
        return found

    def delete(self, volume: str, wait: bool = True) -> None:
        """Remove a volume, and wait until it is gone.

        :raises errors.InUseByStore: Cinder refuses, or fails to remove it.
        """
        try:
            self._request("DELETE", f"/volumes/{volume}")
        except VolumeStateConflict as error:
            raise errors.InUseByStore(f"The volume cannot be removed. {error}") from error
        if wait:
            with contextlib.suppress(errors.StoreObjectNotFound):
                self.wait(volume, {"deleted"})

    def extend(self, volume: str, gib: int, status: str) -> None:
        """Extend a volume to ``gib`` GiB; its state is ``status`` before and after.

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
        """Replace the metadata of a volume, and make it read-only."""
        self._request("PUT", f"/volumes/{volume}/metadata", {"metadata": metadata})
        self._volume_action(volume, "os-update_readonly_flag", readonly=True)

    def find_by_metadata(self, metadata: dict[str, str]) -> list[dict[str, Any]]:
        """The volumes that have all of these metadata."""
        found = self._list("volumes", {"metadata": str(metadata)})  # A Python literal.
        return [volume for volume in found if metadata.items() <= volume["metadata"].items()]

    def attach(self, volume: str, connector: dict[str, Any], mode: str) -> dict[str, Any]:
        """Attach a volume to a host; returns the attachment with its ``connection_info``.

        :param connector: properties of the host, from os-brick.
        :param mode: ``rw`` or ``ro``.
        :raises VolumeStateConflict: it is attached elsewhere.
        """
        wanted = {"volume_uuid": volume, "connector": connector, "mode": mode}
        answer = self._request("POST", "/attachments", {"attachment": wanted})
        attachment: dict[str, Any] = answer["attachment"]
        return attachment

    def complete_attachment(self, attachment: str) -> None:
        """Record that the host has connected the volume."""
        self._request("POST", f"/attachments/{attachment}/action", {"os-complete": None})

    def attachments(self, volume: str) -> list[dict[str, Any]]:
        """All attachments of a volume; with their hosts where Cinder shows them."""
        return [
            attachment
            for attachment in self._list("attachments", {"volume_id": volume})
            if attachment["volume_id"] == volume
        ]

    def detach(self, attachment: str) -> None:
        """Delete an attachment; no error when there is none."""
        with contextlib.suppress(errors.StoreObjectNotFound):
            self._request("DELETE", f"/attachments/{attachment}")

    def wait(self, volume: str, wanted: Collection[str]) -> dict[str, Any]:
        """Wait until a volume is in one of the states ``wanted``, and return it.

        :raises errors.InUseByStore: it is in an error state.
        :raises errors.StoreTimeout: it took longer than cinder_state_transition_timeout.
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
        """Check that Cinder answers and accepts the credentials."""
        self._request("GET", "/volumes?limit=1")

    def _list(self, kind: str, filters: dict[str, str]) -> list[dict[str, Any]]:
        """Volumes or attachments, at least those that match the filters.

        The operator of Cinder decides which filters are allowed (``resource_filters.json``):
        refused ones are left out, and Cinder may ignore others.
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

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The JSON of the answer to a request; an empty answer gives an empty dictionary."""
        with _translate_errors(path):
            response = self._adapter.get().request(path, method, json=body)
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer

    def _connect(self) -> Adapter:
        from keystoneauth1.adapter import Adapter
        from keystoneauth1.service_token import ServiceTokenAuthWrapper
        from keystoneauth1.session import Session

        settings = self._settings
        auth = self._auth()
        kind, name, interface = settings.cinder_catalog_info.split(":")
        template = settings.cinder_endpoint_template
        verify = not settings.cinder_api_insecure and (settings.cinder_ca_certificates_file or True)
        return Adapter(
            Session(auth=ServiceTokenAuthWrapper(auth, auth), verify=verify, timeout=TIMEOUT),
            service_type=kind,
            service_name=name or None,
            interface=interface,
            region_name=settings.cinder_os_region_name,
            endpoint_override=template and template.replace("%(tenant)s", "%(project_id)s"),
            default_microversion=VERSION,
            connect_retries=settings.cinder_http_retries,
            status_code_retries=settings.cinder_http_retries,  # of status 503
            user_agent="glance_store_py",
        )

    def _auth(self) -> BaseAuthPlugin:
        from keystoneauth1.identity import generic, v3

        settings = self._settings
        url = (settings.cinder_store_auth_address or "").rstrip("/")
        if settings.cinder_store_application_credential_id:
            return v3.ApplicationCredential(
                url if url.endswith("/v3") else f"{url}/v3",
                application_credential_id=settings.cinder_store_application_credential_id,
                application_credential_secret=(
                    settings.cinder_store_application_credential_secret or ""
                ),
            )
        return generic.Password(
            url,
            username=settings.cinder_store_user_name,
            password=settings.cinder_store_password,
            user_domain_name=settings.cinder_store_user_domain_name,
            project_name=settings.cinder_store_project_name,
            project_domain_name=settings.cinder_store_project_domain_name,
        )


@contextlib.contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    """Translate errors of keystoneauth to those of this library."""
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
