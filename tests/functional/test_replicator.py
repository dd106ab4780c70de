"""glance-replicator between real servers: whole copies, copies that go on, honest reports."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pathlib
import tempfile
import unittest
import uuid

from glance_py import replication
from glance_py.cmd import replicator
from glance_py.replication import ReplicationError, TransferInterrupted, copy
from glance_py.replication.directory import ImageDirectory
from glance_py.replication.server import ImageServer
from tests.functional.server import GLANCE_API, ServerProcess

ADMIN = "root:admin:admin"
OCTETS = "application/octet-stream"
DATA = os.urandom(300_000)


class ReplicatorCase(unittest.TestCase):
    """Two servers; each test makes images with ids of its own."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.servers = []
        for _ in range(2):
            directory = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="glance-"))
            server = ServerProcess(directory, GLANCE_API, client_timeout=60)
            cls.addClassCleanup(server.end)
            cls.servers.append(server)
        cls.source, cls.target = cls.servers

    def setUp(self) -> None:
        self.directory = self.enterContext(tempfile.TemporaryDirectory())
        for server in self.servers:
            for image in ImageServer(self.address(server), ADMIN).images():
                if image["protected"]:
                    ImageServer(self.address(server), ADMIN).update(
                        image["id"], {"protected": (False, True)}
                    )
                ImageServer(self.address(server), ADMIN).delete(image["id"])

    @staticmethod
    def address(server: ServerProcess) -> str:
        return f"127.0.0.1:{server.port}"

    def ask(self, server: ServerProcess, method: str, path: str, body=None, **headers) -> bytes:
        status, answer = server.ask(method, path, body, X_Auth_Token=ADMIN, **headers)
        self.assertLess(status, 400, answer)
        return answer

    def create(self, data: bytes | None = DATA, **fields) -> str:
        image = {
            "id": str(uuid.uuid4()),
            "name": "näme",
            "disk_format": "raw",
            "container_format": "bare",
            "tags": ["one"],
            "os_distro": "debian",
            "owner": "p7",
            **fields,
        }
        self.ask(
            self.source, "POST", "/v2/images", json.dumps(image), Content_Type="application/json"
        )
        if data is not None:
            self.ask(
                self.source, "PUT", f"/v2/images/{image['id']}/file", data, Content_Type=OCTETS
            )
        return image["id"]

    def image(self, server: ServerProcess, image_id: str) -> dict:
        return json.loads(self.ask(server, "GET", f"/v2/images/{image_id}"))

    def run_tool(self, *words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = replicator.main([*words, "-t", ADMIN])
        return code, out.getvalue(), err.getvalue()

    def livecopy(self, *words: str) -> tuple[int, str, str]:
        return self.run_tool(
            "livecopy", self.address(self.source), self.address(self.target), *words
        )

    def check_copy(self, image_id: str, data: bytes | None = DATA) -> None:
        mine, theirs = (self.image(server, image_id) for server in self.servers)
        self.assertEqual({}, replication.differences(mine, theirs, frozenset()))
        self.assertEqual(mine["status"], theirs["status"])
        if data is not None:
            self.assertEqual(hashlib.sha512(data).hexdigest(), theirs["os_hash_value"])
            self.assertEqual(data, self.ask(self.target, "GET", f"/v2/images/{image_id}/file"))


class TestCopies(ReplicatorCase):
    def test_size(self) -> None:
        self.create()
        self.create(b"x" * 1000)
        self.create(None)
        code, out, _ = self.run_tool("size", self.address(self.source))
        self.assertEqual(
            (0, "Total size is 301000 bytes (293.9 KiB) across 2 images\n"), (code, out)
        )
        _, out, _ = self.run_tool("size", f"http://{self.address(self.source)}/v2", "--json")
        self.assertEqual({"images": 2, "bytes": 301000}, json.loads(out))

    def test_everything_of_an_image_is_copied(self) -> None:
        plain = self.create()
        queued = self.create(None, visibility="community")
        hidden = self.create(b"", os_hidden=True, visibility="public", min_disk=3)
        protected = self.create(b"p", protected=True)
        off = self.create(b"off")
        self.ask(self.source, "POST", f"/v2/images/{off}/actions/deactivate")
        code, out, err = self.livecopy()
        self.assertEqual((0, ""), (code, err))
        self.assertIn("5 created", out)
        self.check_copy(plain)
        self.check_copy(queued, None)
        self.check_copy(hidden, b"")
        self.check_copy(protected, b"p")
        self.assertEqual("deactivated", self.image(self.target, off)["status"])
        self.assertEqual((0, ""), self.run_tool("compare", *self.both())[:2])
        self.assertEqual((0, "5 equal\n", ""), self.livecopy())

    def both(self) -> tuple[str, str]:
        return self.address(self.source), self.address(self.target)

    def test_what_changed_is_brought_up_to_date(self) -> None:
        image_id = self.create(first="1", second="2")
        self.livecopy()
        changes = [
            {"op": "replace", "path": "/name", "value": "after"},
            {"op": "remove", "path": "/first"},
            {"op": "add", "path": "/third", "value": "3"},
        ]
        self.ask(
            self.source,
            "PATCH",
            f"/v2/images/{image_id}",
            json.dumps(changes),
            Content_Type="application/openstack-images-v2.1-json-patch",
        )
        code, out, _ = self.run_tool("compare", *self.both())
        self.assertEqual(3, code)
        for words in ("name: 'after' here, 'näme' there", "first: None here", "third: '3' here"):
            self.assertIn(words, out)
        self.assertIn("updated", self.livecopy()[1])
        self.check_copy(image_id)

    def test_data_that_came_later_is_sent(self) -> None:
        image_id = self.create(None)
        self.livecopy()
        self.ask(self.source, "PUT", f"/v2/images/{image_id}/file", DATA, Content_Type=OCTETS)
        self.assertIn("has no data there", self.run_tool("compare", *self.both())[1])
        self.assertIn("uploaded", self.livecopy()[1])
        self.check_copy(image_id)

    def test_only_what_describes_it(self) -> None:
        image_id = self.create()
        self.assertIn("created", self.livecopy("--metaonly")[1])
        self.assertEqual("queued", self.image(self.target, image_id)["status"])
        self.assertEqual(0, self.run_tool("compare", *self.both(), "-m")[0])

    def test_attributes_that_are_left_out(self) -> None:
        image_id = self.create()
        self.livecopy("-D", "owner os_distro created_at")
        image = self.image(self.target, image_id)
        self.assertNotIn("os_distro", image)
        self.assertEqual("admin", image["owner"])
        self.assertEqual(0, self.run_tool("compare", *self.both(), "-D", "owner os_distro")[0])

    def test_other_data_is_not_replaced(self) -> None:
        image_id = self.create(b"mine")
        self.ask(
            self.target,
            "POST",
            "/v2/images",
            json.dumps({"id": image_id, "disk_format": "raw", "container_format": "bare"}),
            Content_Type="application/json",
        )
        self.ask(self.target, "PUT", f"/v2/images/{image_id}/file", b"theirs", Content_Type=OCTETS)
        code, out, err = self.livecopy()
        self.assertEqual(1, code)
        self.assertIn("other data", err)
        self.assertEqual(b"theirs", self.ask(self.target, "GET", f"/v2/images/{image_id}/file"))

    def test_json(self) -> None:
        image_id = self.create()
        lines = [json.loads(line) for line in self.livecopy("--json")[1].splitlines()]
        self.assertEqual(
            [{"id": image_id, "name": "näme", "done": "created"}, {"images": 1, "created": 1}],
            lines,
        )
        lines = [
            json.loads(line)
            for line in self.run_tool("compare", *self.both(), "--json")[1].splitlines()
        ]
        self.assertEqual([{"id": image_id, "name": "näme", "differences": []}], lines)


class TestDirectory(ReplicatorCase):
    def dump(self, *words: str) -> tuple[int, str, str]:
        return self.run_tool("dump", self.address(self.source), self.directory, *words)

    def path(self, name: str) -> pathlib.Path:
        return pathlib.Path(self.directory) / name

    def test_out_and_in_again(self) -> None:
        image_id = self.create()
        self.assertEqual(0, self.dump()[0])
        self.assertEqual(DATA, self.path(f"{image_id}.img").read_bytes())
        self.assertEqual("1 equal\n", self.dump()[1])
        code, out, _ = self.run_tool("load", self.address(self.target), self.directory)
        self.assertEqual(0, code)
        self.check_copy(image_id)
        self.assertEqual(
            "1 equal\n", self.run_tool("load", self.address(self.target), self.directory)[1]
        )

    def test_a_download_goes_on_where_it_stopped(self) -> None:
        image_id = self.create()
        self.path(f"{image_id}.img.part").write_bytes(DATA[:200_000])
        log = len(self.source.log())
        self.assertEqual(0, self.dump()[0])
        self.assertEqual(DATA, self.path(f"{image_id}.img").read_bytes())
        self.assertIn(f'/v2/images/{image_id}/file" status: 206', self.source.log()[log:])

    def test_what_is_not_what_its_hash_says_is_thrown_away(self) -> None:
        image_id = self.create()
        self.path(f"{image_id}.img.part").write_bytes(b"rubbish")
        code, _, err = self.dump()
        self.assertEqual(1, code)
        self.assertIn("hash", err)
        self.assertFalse(self.path(f"{image_id}.img.part").exists())
        self.assertEqual(0, self.dump()[0])
        self.assertEqual(DATA, self.path(f"{image_id}.img").read_bytes())

    def test_a_directory_without_the_data(self) -> None:
        image_id = self.create()
        self.dump("-m")
        code, _, err = self.run_tool("load", self.address(self.target), self.directory)
        self.assertEqual(1, code)
        self.assertIn(image_id, err)
        # Nothing half is left.
        self.assertEqual(404, self.target.ask("GET", f"/v2/images/{image_id}")[0])

    def test_no_directory(self) -> None:
        code, _, err = self.run_tool("load", self.address(self.target), "/nowhere/at/all")
        self.assertEqual(1, code)
        self.assertIn("/nowhere/at/all", err)


def _ignore(number: int) -> None:
    """Nobody watches."""


class Flaky:
    """A source whose data breaks off after each ``portion`` bytes."""

    def __init__(self, data: bytes, portion: int) -> None:
        self.data_, self.portion, self.starts = data, portion, []

    def images(self):
        return iter(())

    def read_data(self, image, start):
        self.starts.append(start)
        yield self.data_[start : start + self.portion]
        if start + self.portion < len(self.data_):
            raise TransferInterrupted("broke off")


class TestBreaks(ReplicatorCase):
    def stub(self, image_id: str) -> dict:
        return {
            "id": image_id,
            "status": "active",
            "disk_format": "raw",
            "container_format": "bare",
            "size": len(DATA),
            "protected": False,
            "os_hash_algo": "sha512",
            "os_hash_value": hashlib.sha512(DATA).hexdigest(),
        }

    def test_data_that_breaks_off_is_read_on(self) -> None:
        image_id, source = str(uuid.uuid4()), Flaky(DATA, 100_000)
        done = copy.to_server(
            self.stub(image_id),
            source,
            ImageServer(self.address(self.target), ADMIN),
            copy.CopyOptions(),
            _ignore,
        )
        self.assertEqual("created", done)
        self.assertEqual([0, 100_000, 200_000], source.starts)
        self.assertEqual(DATA, self.ask(self.target, "GET", f"/v2/images/{image_id}/file"))

    def test_data_that_gets_no_further_is_given_up(self) -> None:
        image_id = str(uuid.uuid4())
        with self.assertRaises(TransferInterrupted):
            copy.to_server(
                self.stub(image_id),
                Flaky(DATA, 0),
                ImageServer(self.address(self.target), ADMIN),
                copy.CopyOptions(),
                _ignore,
            )
        self.assertEqual(404, self.target.ask("GET", f"/v2/images/{image_id}")[0])
        with self.assertRaises(TransferInterrupted):
            copy.to_directory(
                self.stub(image_id),
                Flaky(DATA, 0),
                ImageDirectory(self.directory),
                copy.CopyOptions(),
                _ignore,
            )

    def refuse(self, image: dict, target: ImageDirectory) -> None:
        source = Flaky(DATA, len(DATA))
        for act in (
            lambda: copy.to_directory(image, source, target, copy.CopyOptions(), _ignore),
            lambda: copy.to_server(
                image,
                source,
                ImageServer(self.address(self.target), ADMIN),
                copy.CopyOptions(),
                _ignore,
            ),
            lambda: target.find(image["id"]),
            lambda: target.save_metadata(image),
            lambda: target.save_data(image, source, _ignore),
        ):
            with self.assertRaisesRegex(ReplicationError, "not a UUID"):
                act()

    def test_an_id_that_leads_out_of_the_directory_is_refused(self) -> None:
        inside = pathlib.Path(self.directory) / "inside"
        inside.mkdir()
        target = ImageDirectory(str(inside))
        for image_id in (
            "../x",
            f"{self.directory}/x",
            "..",
            "a/../../x",
            "",
            "x\0",
            None,
            5,
            f"{uuid.uuid4()}/../../x",
            f"{uuid.uuid4()}.img",
            f"../{uuid.uuid4()}",
        ):
            with self.subTest(image_id):
                self.refuse(self.stub(image_id), target)
        self.assertEqual([inside], list(pathlib.Path(self.directory).iterdir()))
        self.assertEqual([], list(inside.iterdir()))

    def test_a_server_that_is_not_there(self) -> None:
        code, _, err = self.run_tool("size", "127.0.0.1:1")
        self.assertEqual(1, code)
        self.assertIn("does not answer", err)

    def test_a_token_that_may_not(self) -> None:
        self.create()
        code, _, err = self.run_tool(
            "livecopy", self.address(self.source), self.address(self.target), "-N", "u:p:reader"
        )
        self.assertEqual(1, code)
        self.assertIn("403", err)


if __name__ == "__main__":
    unittest.main()
