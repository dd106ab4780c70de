"""Cinder in memory in place of the adapter of keystoneauth, and os-brick for volumes in files."""

from __future__ import annotations

import itertools
import os
import types
import uuid
from urllib.parse import parse_qsl, urlsplit

from keystoneauth1 import exceptions

from glance_store_py.drivers.cinder_attachment import AttachmentManager

GIB = 1024**3


class FakeCinder:
    """Answers requests of the Block Storage API; pages have two entries."""

    def __init__(self) -> None:
        self.volumes: dict[str, dict] = {}
        self.attached: dict[str, dict] = {}
        self.numbers = itertools.count(1)
        #: "METHOD /kind" -> exceptions that the next requests of this kind raise.
        self.failures: dict[str, list[Exception]] = {}
        #: States that a volume has in the next answers, before it has its own.
        self.states: list[str] = []

    def request(self, path: str, method: str, json: dict | None = None) -> types.SimpleNamespace:
        url = urlsplit(path)
        kind, *parts = url.path.strip("/").split("/")
        left = self.failures.get(f"{method} /{kind}")
        if left:
            raise left.pop(0)
        answer = (self._volumes if kind == "volumes" else self._attachments)(
            method, parts, dict(parse_qsl(url.query)), json
        )
        return types.SimpleNamespace(content=b"" if answer is None else b"x", json=lambda: answer)

    def page(self, kind: str, found: list[dict], query: dict[str, str]) -> dict:
        if query.get("marker"):
            ids = [each["id"] for each in found]
            found = found[ids.index(query["marker"]) + 1 :]
        return {kind: found[:2]}

    def volume(self, volume: str) -> dict:
        try:
            return self.volumes[volume]
        except KeyError:
            raise exceptions.NotFound() from None

    def _attachments(self, method: str, parts: list[str], query: dict, body: dict | None):
        if parts == ["detail"]:
            return self.page("attachments", list(self.attached.values()), query)
        if method == "POST" and not parts:
            wanted = body["attachment"]
            volume = self.volume(wanted["volume_uuid"])
            if volume["status"] == "in-use" and wanted["mode"] == "rw":
                raise exceptions.BadRequest()
            volume["status"] = "in-use"
            made = {
                "id": f"a{next(self.numbers)}",
                "volume_id": volume["id"],
                "status": "attaching",
                "connection_info": {
                    "driver_volume_type": "iscsi",
                    "volume": volume["id"],
                    "attached_host": "here",
                },
            }
            self.attached[made["id"]] = made
            return {"attachment": made}
        found = self.attached.get(parts[0])
        if found is None:
            raise exceptions.NotFound()
        if method == "POST":
            found["status"] = "attached"
        else:
            del self.attached[parts[0]]
            if not any(each["volume_id"] == found["volume_id"] for each in self.attached.values()):
                self.volume(found["volume_id"])["status"] = "available"
        return None

    def _volumes(self, method: str, parts: list[str], query: dict, body: dict | None):
        if not parts:
            return self._create(body) if method == "POST" else {"volumes": []}
        if parts == ["detail"]:
            return self.page("volumes", list(self.volumes.values()), query)
        volume = self.volume(parts[0])
        if method == "GET":
            status = self.states.pop(0) if self.states else volume["status"]
            return {"volume": {**volume, "status": status}}
        if method == "DELETE":
            if volume["status"] == "in-use":
                raise exceptions.Conflict()
            del self.volumes[volume["id"]]
        elif parts[1] == "metadata":
            volume["metadata"] = body["metadata"]
        elif "os-extend" in body:
            volume["size"] = body["os-extend"]["new_size"]
        else:
            volume["readonly"] = body["os-update_readonly_flag"]["readonly"]
        return None

    def _create(self, body: dict) -> dict:
        wanted = body["volume"]
        if wanted.get("volume_type") == "missing":
            raise exceptions.NotFound()
        volume = {**wanted, "id": str(uuid.uuid4()), "status": "available"}
        self.volumes[volume["id"]] = volume
        return {"volume": volume}


class FileConnector:
    """os-brick, for volumes that are sparse files in a directory."""

    def __init__(self, cinder: FakeCinder, directory: str, connected: list[str]) -> None:
        self._cinder, self._directory, self._connected = cinder, directory, connected

    def _path(self, connection: dict) -> str:
        return os.path.join(self._directory, connection["volume"])

    def _resize(self, connection: dict) -> None:
        with open(self._path(connection), "ab") as file:
            file.truncate(self._cinder.volumes[connection["volume"]]["size"] * GIB)

    def connect_volume(self, connection: dict) -> dict[str, str]:
        self._resize(connection)
        self._connected.append(connection["volume"])
        return {"path": self._path(connection)}

    def extend_volume(self, connection: dict) -> None:
        self._resize(connection)

    def disconnect_volume(self, connection: dict, device: dict | None, **options: bool) -> None:
        self._connected.remove(connection["volume"])


class FileAttachments(AttachmentManager):
    """A host whose volumes are files."""

    cinder: FakeCinder
    directory: str
    connected: list[str]

    def _host_properties(self) -> dict[str, str]:
        return {"host": "here"}

    def _connector(self, kind: str, connection: dict) -> FileConnector:
        return FileConnector(self.cinder, self.directory, self.connected)
