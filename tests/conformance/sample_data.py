"""Objects of all kinds, made through the API, and odd rows that no API makes today.

Such rows are in every database that has lived: nulls of early releases, leftovers
of what failed, stores that are gone.
"""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import sqlalchemy as sa

from tests.conformance.snapshot import ApiClient
from tests.waiting import eventually

OCTETS = "application/octet-stream"
PATCH = "application/openstack-images-v2.1-json-patch"
UNICODE = "Ünïcode ☃ 東京"
VISIBILITIES = ("private", "shared", "public", "community")


class SampleData:
    """Fills the service on ``port``.

    :param prefix: tells its objects from those of others.
    :param has_several_stores: is there a store ``slow`` beside the default one?
    """

    def __init__(self, port: int, prefix: str, has_several_stores: bool = True) -> None:
        self._client = ApiClient(port)
        self._prefix = prefix
        self._has_several_stores = has_several_stores
        self.images: dict[str, str] = {}

    def fill(self) -> None:
        """One object of each kind, in each of its states."""
        for visibility in VISIBILITIES:
            self.create(
                f"data-{visibility}",
                b"data of " + visibility.encode() * 1000,
                visibility=visibility,
                os_distro="debian",
            )
            self.create(f"queued-{visibility}", visibility=visibility)
        self.create(UNICODE, UNICODE.encode(), tags=[UNICODE, "one"], beschreibung=UNICODE)
        self.create("hidden", b"h", visibility="public", os_hidden=True)
        self.create("protected", b"p", protected=True)
        self.create("empty", b"")
        self.create("large", bytes(range(256)) * 20_000)
        self.create("of old", b"before stores had names")
        self.create("slow", b"in the other store", store="slow" if self._has_several_stores else "")
        self.create("properties", **{f"p{n}": "v" * n for n in range(60)})
        self.create("min", min_disk=3, min_ram=4)
        self._deactivated()
        self._create_shared()
        self._create_deleted()
        self._create_imported()
        self._create_updated()
        self._create_metadefs()
        self._create_task()

    def request(
        self,
        caller: str,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        **headers: str,
    ) -> Any:
        """One request that must succeed; its JSON."""
        response = self._client.call(caller, method, path, body, content_type, **headers)
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {response.data!r}")
        return response.json() if response.data else None

    def create(self, name: str, data: bytes | None = None, store: str = "", **fields) -> str:
        image = self.request(
            "admin" if fields.get("visibility") == "public" else "owner",
            "POST",
            "/v2/images",
            {
                "name": f"{self._prefix}{name}",
                "disk_format": "raw",
                "container_format": "bare",
                **fields,
            },
        )
        self.images[name] = image["id"]
        if data is not None:
            headers = {"X_Image_Meta_Store": store} if store else {}
            self.request("admin", "PUT", f"/v2/images/{image['id']}/file", data, OCTETS, **headers)
        return image["id"]

    def patch(self, image_id: str, *changes: dict, caller: str = "owner") -> None:
        self.request(caller, "PATCH", f"/v2/images/{image_id}", list(changes), PATCH)

    def _deactivated(self) -> None:
        path = f"/v2/images/{self.create('deactivated', b'd')}"
        self.request("admin", "POST", f"{path}/actions/deactivate")

    def _create_shared(self) -> None:
        path = f"/v2/images/{self.create('members', b'm', visibility='shared')}/members"
        for member in ("p2", "p3", "p4", UNICODE):
            self.request("owner", "POST", path, {"member": member})
        self.request("member", "PUT", f"{path}/p2", {"status": "accepted"})
        self.request("stranger", "PUT", f"{path}/p3", {"status": "rejected"})
        self.request("owner", "DELETE", f"{path}/p4")

    def _create_deleted(self) -> None:
        for name, data in (("deleted", b"x"), ("deleted-queued", None)):
            self.request("owner", "DELETE", f"/v2/images/{self.create(name, data)}")

    def _create_imported(self) -> None:
        staged = self.create("staged")
        self.request("owner", "PUT", f"/v2/images/{staged}/stage", b"waits", OCTETS)
        imported = self.create("imported")
        self.request("owner", "PUT", f"/v2/images/{imported}/stage", b"imported", OCTETS)
        self.request(
            "owner",
            "POST",
            f"/v2/images/{imported}/import",
            {
                "method": {"name": "glance-direct"},
                **({"stores": ["slow"]} if self._has_several_stores else {}),
            },
        )
        self._wait(imported)
        if self._has_several_stores:
            self._create_copied()

    def _create_copied(self) -> None:
        both = self.create("both", b"in both stores")
        self.request(
            "admin",
            "POST",
            f"/v2/images/{both}/import",
            {"method": {"name": "copy-image"}, "stores": ["slow"]},
        )
        self._wait_for_stores(both, 2)

    def _wait(self, image_id: str) -> None:
        eventually(
            lambda: self.request("admin", "GET", f"/v2/images/{image_id}")["status"],
            lambda status: status == "active",
        )
        self._wait_for_tasks(image_id)

    def _wait_for_stores(self, image_id: str, number: int) -> None:
        eventually(
            lambda: self.request("admin", "GET", f"/v2/images/{image_id}")["stores"],
            lambda stores: stores.count(",") >= number - 1,
        )
        self._wait_for_tasks(image_id)

    def _wait_for_tasks(self, image_id: str) -> None:
        """Bookkeeping goes on for a moment after the image is there."""
        eventually(
            lambda: self.request("admin", "GET", f"/v2/images/{image_id}/tasks")["tasks"],
            lambda tasks: all(task["status"] in ("success", "failure") for task in tasks),
        )

    def _create_updated(self) -> None:
        image_id = self.create("changed", b"c", tags=["one", "two"], first="1", second="2")
        self.patch(
            image_id,
            {"op": "replace", "path": "/name", "value": f"{self._prefix}after"},
            {"op": "remove", "path": "/first"},
            {"op": "add", "path": "/third", "value": "3"},
            {"op": "replace", "path": "/tags", "value": ["two", "three"]},
        )
        self.request("owner", "PUT", f"/v2/images/{image_id}/tags/four")
        self.request("owner", "DELETE", f"/v2/images/{image_id}/tags/two")

    def _create_metadefs(self) -> None:
        name = f"{self._prefix}OS::Test"
        path = f"/v2/metadefs/namespaces/{name}"
        self.request(
            "admin",
            "POST",
            "/v2/metadefs/namespaces",
            {"namespace": name, "display_name": UNICODE, "visibility": "public", "owner": "admin"},
        )
        self.request(
            "admin",
            "POST",
            f"{path}/properties",
            {"name": "size", "title": "Size", "type": "integer", "minimum": 1},
        )
        self.request(
            "admin",
            "POST",
            f"{path}/objects",
            {
                "name": "thing",
                "required": ["a"],
                "properties": {"a": {"title": "A", "type": "string", "enum": ["x", UNICODE]}},
            },
        )
        self.request("admin", "POST", f"{path}/tags", {"tags": [{"name": "t1"}, {"name": "t2"}]})
        self.request(
            "admin",
            "POST",
            f"{path}/resource_types",
            {"name": "OS::Glance::Image", "prefix": "hw_"},
        )
        self.request(
            "admin",
            "POST",
            "/v2/metadefs/namespaces",
            {
                "namespace": f"{self._prefix}private",
                "visibility": "private",
                "protected": True,
                "owner": "p1",
            },
        )

    def _create_task(self) -> None:
        """One that fails: nothing may be imported from a file."""
        self._client.call(
            "admin",
            "POST",
            "/v2/tasks",
            {
                "type": "import",
                "input": {
                    "import_from": "http://127.0.0.1:1/x",
                    "import_from_format": "raw",
                    "image_properties": {"disk_format": "raw", "container_format": "bare"},
                },
            },
        )


def insert_legacy_rows(database: str) -> None:
    """Rows as they are left behind over the years."""
    engine = sa.create_engine(database)
    metadata = sa.MetaData()
    metadata.reflect(engine)
    table = metadata.tables
    then = datetime.datetime(2015, 3, 4, 5, 6, 7)
    audit = {"created_at": then, "updated_at": then, "deleted_at": None, "deleted": False}
    gone = {"created_at": then, "updated_at": then, "deleted_at": then, "deleted": True}

    def image(connection: sa.Connection, seed: str, dates: dict, **values) -> str:
        row = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, seed)),
            "name": seed,
            "status": "active",
            "min_disk": 0,
            "min_ram": 0,
            "owner": "p1",
            "visibility": "public",
            "size": 5,
            "protected": False,
            "os_hidden": False,
            **dates,
            **values,
        }
        connection.execute(table["images"].insert().values(**row))
        return row["id"]

    def insert_child(
        connection: sa.Connection, kind: str, image_id: str, dates: dict, **values
    ) -> None:
        connection.execute(table[kind].insert().values(image_id=image_id, **dates, **values))

    with engine.begin() as connection:
        image(connection, "nothing-known", audit, size=None, name=None, owner=None)
        image(connection, "killed", audit, status="killed")
        image(connection, "deleted-row", gone, status="deleted")
        image(connection, "pending", gone, status="pending_delete")
        foreign = image(connection, "foreign-store", audit, disk_format="qcow2")
        insert_child(
            connection,
            "image_locations",
            foreign,
            audit,
            value="rbd://fsid/pool/image/snap",
            meta_data=json.dumps({"store": "ceph-of-old"}),
            status="active",
        )
        # Of the time before stores had names.
        plain = table["image_locations"]
        connection.execute(
            plain.update()
            .values(meta_data="{}")
            .where(
                plain.c.image_id.in_(
                    sa.select(table["images"].c.id).where(table["images"].c.name.like("%of old"))
                )
            )
        )
        twice = image(connection, "duplicates", audit)
        for dates in (gone, audit):
            insert_child(connection, "image_tags", twice, dates, value="twice")
            insert_child(
                connection,
                "image_members",
                twice,
                dates,
                member="p2",
                can_share=False,
                status="accepted",
            )
        insert_child(connection, "image_tags", twice, audit, value="twice")
        insert_child(connection, "image_properties", twice, gone, name="was", value="deleted")
        insert_child(connection, "image_properties", twice, audit, name="null", value=None)
        for task_id, dates in (("task-without-info", audit), ("task-deleted", gone)):
            connection.execute(
                table["tasks"]
                .insert()
                .values(id=task_id, type="import", status="success", owner="p1", **dates)
            )
    engine.dispose()
