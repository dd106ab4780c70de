"""Two hosts of one service on this machine: their own disks, one database, the same stores.

Each has the address by which the other asks it for what was staged on its disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator

from glance_py.db import migrations
from glance_py.db.database import Database
from glance_py.db.engine import create_engine
from tests.functional.server import GLANCE_API, OCTETS, ServerProcess
from tests.waiting import eventually

FINAL_TASK_STATUSES = ("success", "failure")


class Host(ServerProcess):
    """One host; ``shared`` is its directory with everybody's stores (``fast``, ``slow``).

    :param database: URL.
    :param staging: where staged data lies; by default on its own disk.
    :param more: further lines of configuration, sections and all.
    """

    def __init__(
        self,
        directory: str,
        shared: str,
        database: str,
        staging: str | None = None,
        more: str = "",
        **settings,
    ) -> None:
        self.shared = pathlib.Path(shared)
        self.staging = pathlib.Path(staging or f"{directory}/staging")
        self._database, self._more = database, more
        super().__init__(directory, GLANCE_API, client_timeout=60, **settings)

    def write_config(self, options: str = "") -> None:
        """As for one host; what is said again here, last, is what counts."""
        super().write_config(options)
        with open(self.directory / "glance-api.conf", "a") as file:
            file.write(f"""\
[database]
connection = {self._database}
[DEFAULT]
worker_self_reference_url = http://127.0.0.1:{self.port}
enabled_backends = fast:file, slow:file
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = {self.shared}/fast
filesystem_thin_provisioning = true
[slow]
filesystem_store_datadir = {self.shared}/slow
filesystem_thin_provisioning = true
[os_glance_staging_store]
filesystem_store_datadir = {self.staging}
filesystem_thin_provisioning = true
{self._more}
""")

    def make_database(self) -> None:
        database = Database(create_engine(self._database))
        migrations.upgrade(database)
        database.dispose()

    def stage(self, image_id: str, body, size: int) -> int:
        """Stage data; the status of the answer."""
        return self.ask(
            "PUT",
            f"/v2/images/{image_id}/stage",
            body,
            Content_Type=OCTETS,
            Content_Length=str(size),
        )[0]

    def import_(self, image_id: str, method: str, **more) -> int:
        """Ask for an import; the status of the answer.  A ``uri`` belongs to the method."""
        uri = {"uri": more.pop("uri")} if "uri" in more else {}
        return self.ask(
            "POST",
            f"/v2/images/{image_id}/import",
            json.dumps({"method": {"name": method, **uri}, **more}),
            Content_Type="application/json",
            X_Auth_Token="u:p:admin" if method == "copy-image" else "u:p:member",
        )[0]

    def tasks(self, image_id: str) -> list[dict]:
        """The tasks of an image, oldest first."""
        return json.loads(
            self.ask("GET", f"/v2/images/{image_id}/tasks", X_Auth_Token="u:p:admin")[1]
        )["tasks"]

    def wait_for_task(self, image_id: str) -> tuple[dict, dict]:
        """The image and its newest task, when that has ended and let go of the image."""
        image, tasks = eventually(
            lambda: (self.show(image_id), self.tasks(image_id)), self._has_ended, explain=self.log
        )
        return image, tasks[-1]

    @staticmethod
    def _has_ended(found: tuple[dict, list[dict]]) -> bool:
        image, tasks = found
        return (
            bool(tasks)
            and tasks[-1]["status"] in FINAL_TASK_STATUSES
            and "os_glance_import_task" not in image
        )

    def stored(self) -> list[tuple[str, str]]:
        """(store, file) of all that lies in the stores, hidden files too."""
        return sorted(
            (store, name) for store in ("fast", "slow") for name in os.listdir(self.shared / store)
        )


@contextlib.contextmanager
def two_hosts(
    database: str | None = None,
    shared_staging: bool = False,
    more: str = "",
    directory: str | None = None,
    **settings,
) -> Iterator[tuple[Host, Host]]:
    """Two hosts that run while the block does.

    :param database: URL; by default SQLite in their directory.
    :param directory: where all of it lies.
    """
    with (
        tempfile.TemporaryDirectory(prefix="glance-", dir=directory) as place,
        contextlib.ExitStack() as stack,
    ):
        for name in ("one", "two", "shared", "shared/fast", "shared/slow", "shared/staging"):
            os.mkdir(f"{place}/{name}")
        hosts = []
        for name in ("one", "two"):
            host = Host(
                f"{place}/{name}",
                f"{place}/shared",
                database or f"sqlite:///{place}/glance.sqlite?timeout=60",
                f"{place}/shared/staging" if shared_staging else None,
                more,
                **settings,
            )
            stack.callback(host.end)
            hosts.append(host)
        yield hosts[0], hosts[1]
