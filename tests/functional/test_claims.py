"""Two hosts over one database, and a network that loses what it should not.

Every case runs against a real server, with a TCP proxy between the first host and it.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import threading
import unittest
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_config import cfg

from glance_py import app, claims, config
from glance_py.db import engine, migrations
from glance_py.db.database import Database
from tests.config import text
from tests.contract.dal import backends
from tests.functional import service
from tests.functional.client import AppClient, files
from tests.functional.test_recovery import Clock
from tests.servers.proxy import Fault, FaultInjectingProxy


class Host:
    """One API host: its client, what it is made of, and its view of abandoned work."""

    def __init__(self, directory: str, name: str, url: sa.URL) -> None:
        path = os.path.join(directory, f"{name}.conf")
        connection = url.render_as_string(hide_password=False).replace("%", "%%")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text(directory, service.STORES, connection=connection))
        self.conf = config.load(["--config-file", path], conf=cfg.ConfigOpts())
        built = app.build_service(self.conf)
        self.deps = built.deps
        self.clock = Clock()
        self.recovery = app.build_recovery(built.deps, built.importer, self.clock)
        self.client = AppClient(built.app, "ann:p1:member")

    def recover(self) -> None:
        """Look at what is held until a lease has run out."""
        self.recovery.recover()
        times = claims.LEASE_TIMES
        for _ in range(int(times.timeout / times.scan) + 1):
            self.clock.now += times.scan
            self.recovery.recover()


class TwoHosts:
    """Cases for each database server; ``kind`` makes scratch databases."""

    kind: type[backends.DatabaseCase]

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        scratch = type("Scratch", (self.kind,), {"runTest": lambda case: None})
        url = sa.make_url(scratch.make())
        self.addCleanup(scratch.drop)
        self.proxy = FaultInjectingProxy((url.host, url.port))
        self.addCleanup(self.proxy.close)
        self.directory = self.enterContext(tempfile.TemporaryDirectory(prefix="glance-"))
        for name in ("fast", "slow", "staging", "tasks"):
            os.mkdir(os.path.join(self.directory, name))
        database = Database(engine.create_engine(url))
        migrations.upgrade(database)
        database.dispose()
        self.far = Host(self.directory, "far", self.proxy.url(url))
        self.near = Host(self.directory, "near", url)
        self.addCleanup(self._close)

    def _close(self) -> None:
        for host in (self.far, self.near):
            host.deps.repositories.claims._database.dispose()

    def put(self, host: Host, image_id: str, chunks: Iterator[bytes]) -> int:
        return host.client.upload_chunked(image_id, chunks).status_int

    def data(self, image_id: str) -> bytes:
        answer = self.near.client.call("GET", f"/v2/images/{image_id}/file")
        self.assertEqual(200, answer.status_int)
        return answer.body

    def stored(self) -> list[str]:
        return [os.path.basename(path) for path in files(f"{self.directory}/fast")]

    def test_an_upload_whose_last_commit_was_not_confirmed_is_found_out(self) -> None:
        """Committed or not, what the client is told is true, and no data is lost."""
        for fault in (Fault.CUT_AFTER, Fault.CUT_BEFORE):
            with self.subTest(fault):
                image_id = self.near.client.create()

                def chunks(fault: Fault = fault) -> Iterator[bytes]:
                    yield b"data " * 1000
                    self.proxy.fail_request(b"COMMIT", fault)
                    yield b"end"

                self.assertEqual(204, self.put(self.far, image_id, chunks()))
                self.assertEqual("active", self.near.client.show(image_id)["status"])
                self.assertEqual(b"data " * 1000 + b"end", self.data(image_id))

    def test_an_outcome_that_stays_unknown_is_decided_by_recovery(self) -> None:
        """The database is away for longer than a request can wait: the bytes stay."""
        self.far.deps.claims.times = dataclasses.replace(
            claims.LEASE_TIMES, resolve_timeout=0.5, resolve_retry=0.05
        )
        for committed in (True, False):
            with self.subTest(committed=committed):
                image_id = self.near.client.create()

                def chunks(committed: bool = committed) -> Iterator[bytes]:
                    yield b"data"
                    self.proxy.fail_request(
                        b"COMMIT", Fault.CUT_AFTER if committed else Fault.CUT_BEFORE
                    )
                    self.proxy.refuse()
                    yield b"end"

                self.assertEqual(503, self.put(self.far, image_id, chunks()))
                self.proxy.heal()
                self.near.recover()
                status = self.near.client.show(image_id)["status"]
                self.assertEqual("active" if committed else "queued", status)
                if committed:
                    self.assertEqual(b"dataend", self.data(image_id))
        self.assertEqual(1, len(self.stored()))

    def test_a_host_that_comes_back_removes_nothing_of_the_next_upload(self) -> None:
        """It lost its database, was declared dead, and finds that out at its end."""
        image_id = self.near.client.create()
        second = b"of the second upload"

        def chunks() -> Iterator[bytes]:
            yield b"of the first upload"
            self.proxy.cut(refuse=True)
            self.near.recover()
            self.assertEqual("queued", self.near.client.show(image_id)["status"])
            self.assertEqual(204, self.near.client.upload(image_id, second).status_int)
            self.proxy.heal()
            yield b"and its end"

        self.assertEqual(409, self.put(self.far, image_id, chunks()))
        self.assertEqual("active", self.near.client.show(image_id)["status"])
        self.assertEqual(second, self.data(image_id))
        self.assertEqual([f"{image_id}.3"], self.stored())

    def test_a_host_that_comes_back_writes_nothing_onto_another_upload(self) -> None:
        """The same status under another owner: both are saving when the first one ends."""
        image_id = self.near.client.create()
        lost = threading.Event()
        go_on = threading.Event()
        answers: list[int] = []

        def first() -> Iterator[bytes]:
            yield b"of the first upload"
            lost.set()
            self.assertTrue(go_on.wait(60))
            yield b"and its end"

        thread = threading.Thread(
            target=lambda: answers.append(self.put(self.far, image_id, first()))
        )
        thread.start()
        self.assertTrue(lost.wait(60))
        self.near.recover()

        def second() -> Iterator[bytes]:
            yield b"of the second"
            go_on.set()
            thread.join(60)
            yield b" upload"

        self.assertEqual(204, self.put(self.near, image_id, second()))
        self.assertEqual([409], answers)
        self.assertEqual(b"of the second upload", self.data(image_id))
        self.assertEqual([f"{image_id}.3"], self.stored())

    def test_a_host_without_its_database_is_not_silent_for_others(self) -> None:
        """While its signs of life arrive, a host keeps its upload, however long that takes."""
        image_id = self.near.client.create()

        def chunks() -> Iterator[bytes]:
            yield b"slow"
            for _ in range(12):
                self.far.deps.claims.send_heartbeats()
                self.near.clock.now += claims.LEASE_TIMES.scan
                self.near.recovery.recover()
            yield b"end"

        self.assertEqual(204, self.put(self.far, image_id, chunks()))
        self.assertEqual(b"slowend", self.data(image_id))
        self.assertEqual([image_id], self.stored())


class TestPostgreSQL(TwoHosts, unittest.TestCase):
    kind = backends.PostgreSQL


class TestMariaDB(TwoHosts, unittest.TestCase):
    kind = backends.MariaDB


if __name__ == "__main__":
    unittest.main()
