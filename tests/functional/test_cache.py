"""The image cache through the whole pipeline, as clients and operators meet it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import threading
import unittest
from unittest import mock
from wsgiref import simple_server

import webob

from glance_py import app, pipeline
from glance_py.cmd import cache_maintenance, cache_manage
from glance_py.context import get_admin_context
from glance_py.db.repositories import sql_repositories as open_repositories
from glance_py.domain.ports import Data
from glance_store_py.drivers.file import FileDriver
from glance_store_py.errors import IncompleteData
from tests.functional.client import AppClient
from tests.functional.service import configured
from tests.waiting import eventually

OPTIONS = """\
image_cache_dir = {cache}
image_cache_driver = sqlite
worker_self_reference_url = http://node-1
"""
FLAVOR = "fakeauth+cachemanagement"


class CacheTestCase(unittest.TestCase):
    """A service with a cache of its own, and people."""

    policy = ""

    def setUp(self) -> None:
        conf, self.directory = self.enterContext(configured())
        self.cache_directory = os.path.join(self.directory, "cache")
        path = conf.config_file[0]
        with open(path) as file:
            text = file.read()
        options = OPTIONS.format(cache=self.cache_directory)
        with open(path, "w") as file:
            file.write(
                text.replace("[DEFAULT]\n", "[DEFAULT]\n" + options).replace(
                    "flavor = fakeauth", f"flavor = {FLAVOR}"
                )
            )
        if self.policy:
            with open(os.path.join(self.directory, "policy.yaml"), "w") as file:
                file.write(self.policy)
        conf.reload_config_files()
        self.conf = conf
        self.service = app.build_service(conf)
        self.ann = AppClient(self.service.app, "ann:p1:member")
        self.root = AppClient(self.service.app, "root:p9:admin")

    def active(self, data: bytes = b"0123456789") -> str:
        """An image of ann's with data."""
        image_id = self.ann.create()
        self.assertEqual(204, self.ann.upload(image_id, data).status_int)
        return image_id

    def read(self, image_id: str) -> bytes:
        """Ann's whole download."""
        answer = self.ann.download(image_id)
        self.assertEqual(200, answer.status_int)
        return answer.body

    def cached(self) -> dict[str, int]:
        """The cached images and their hits."""
        answer = self.root.call("GET", "/v2/cache").json
        return {image["image_id"]: image["hits"] for image in answer["cached_images"]}

    def raw(self, path: str, token: str = "ann:p1:member", **environ) -> tuple[str, dict, list]:
        """Status and headers as the server gets them, and the body's iterable."""
        request = webob.Request.blank(path, headers={"X-Auth-Token": token})
        request.environ.update({"SERVER_PROTOCOL": "HTTP/1.1", **environ})
        said = []
        body = self.service.app(
            request.environ,
            lambda status, headers, exc_info=None: said.append(
                (status, {name.lower(): value for name, value in headers})
            ),
        )
        return *said[0], body


class TestDownload(CacheTestCase):
    def test_a_miss_fills_and_a_hit_says_its_length(self) -> None:
        image_id = self.active()
        status, headers, body = self.raw(f"/v2/images/{image_id}/file")
        self.assertEqual(b"0123456789", b"".join(body))
        body.close()
        self.assertNotIn("content-length", headers)
        self.assertEqual({image_id: 0}, self.cached())
        os.unlink(os.path.join(self.directory, "fast", image_id))
        hit = self.ann.download(image_id)
        self.assertEqual(b"0123456789", hit.body)
        md5 = hashlib.md5(b"0123456789").hexdigest()
        self.assertEqual(
            ("10", md5, "bytes", "application/octet-stream"),
            tuple(
                hit.headers[name]
                for name in ("Content-Length", "Content-MD5", "Accept-Ranges", "Content-Type")
            ),
        )
        self.assertEqual({image_id: 1}, self.cached())

    def test_a_client_of_http_1_0_always_gets_the_length(self) -> None:
        image_id = self.active()
        for query in ("?prefer=fast", "", ""):
            _, headers, body = self.raw(
                f"/v2/images/{image_id}/file{query}", SERVER_PROTOCOL="HTTP/1.0"
            )
            self.assertEqual(b"0123456789", b"".join(body))
            body.close()
            self.assertEqual("10", headers["content-length"])

    def test_a_hit_is_a_file_that_the_server_may_send(self) -> None:
        image_id = self.active()
        self.read(image_id)
        given = []

        def wrapper(file, size):
            given.append(file)
            return iter([file.read(100)])

        _, _, body = self.raw(f"/v2/images/{image_id}/file", **{"wsgi.file_wrapper": wrapper})
        self.assertEqual([b"0123456789"], list(body))
        self.assertGreater(given[0].fileno(), 2)
        given[0].close()

    def test_parts_and_conditions_pass_it_by(self) -> None:
        image_id = self.active()
        part = self.ann.download(image_id, range="bytes=2-4")
        self.assertEqual((206, b"234"), (part.status_int, part.body))
        self.assertEqual({}, self.cached())
        whole = self.ann.download(image_id)
        self.assertEqual(b"0123456789", whole.body)
        tag = whole.headers["ETag"]
        self.assertEqual(304, self.ann.download(image_id, if_none_match=tag).status_int)
        part = self.ann.download(image_id, content_range="bytes 2-4/10")
        self.assertEqual((206, b"234"), (part.status_int, part.body))
        self.assertEqual({image_id: 0}, self.cached())

    def test_a_deleted_image_leaves_the_cache(self) -> None:
        image_id = self.active()
        self.read(image_id)
        self.assertEqual(
            404,
            AppClient(self.service.app, "bob:p2:member")
            .call("DELETE", f"/v2/images/{image_id}")
            .status_int,
        )
        self.assertEqual({image_id: 0}, self.cached())
        self.ann.call("DELETE", f"/v2/images/{image_id}")
        self.assertFalse(os.path.exists(os.path.join(self.cache_directory, image_id)))
        self.assertEqual({}, self.cached())
        self.assertEqual(404, self.ann.download(image_id).status_int)

    def test_an_image_without_data_has_no_content(self) -> None:
        image_id = self.ann.create()
        self.assertEqual(204, self.ann.download(image_id).status_int)
        self.assertEqual({}, self.cached())

    def test_twenty_clients_of_a_cold_image_read_a_slow_store_once(self) -> None:
        data = os.urandom(20 * 1024 * 1024)
        image_id = self.active(data)
        stores, reads = self.service.deps.stores, []
        get = stores.get
        begun, all_ask = [], threading.Event()

        def slow_get(*args, **kwargs):
            reads.append(args)
            found = get(*args, **kwargs)

            def chunks():
                self.assertTrue(all_ask.wait(60))  # No data before all clients ask for it.
                yield from found.chunks

            return Data(chunks(), found.length, close=found.close)

        stores.get = slow_get

        def digest(number: int) -> str:
            begun.append(number)
            if len(begun) == 20:
                all_ask.set()
            return hashlib.sha256(self.ann.download(image_id).body).hexdigest()

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            digests = set(pool.map(digest, range(20)))
        self.assertEqual({hashlib.sha256(data).hexdigest()}, digests)
        self.assertEqual(1, len(reads))
        self.assertEqual([image_id], list(self.cached()))

    def test_a_store_that_has_too_little_is_noticed_before_the_answer(self) -> None:
        image_id = self.active()
        os.truncate(os.path.join(self.directory, "fast", image_id), 5)
        answer = self.ann.download(image_id)
        self.assertEqual(500, answer.status_int)
        self.assertIn("incomplete", answer.text)
        self.assertEqual({}, self.cached())

    def test_a_store_that_delivers_too_little_breaks_the_connection(self) -> None:
        image_id = self.active()
        path = os.path.join(self.directory, "fast", image_id)
        with mock.patch.object(FileDriver, "get", _promising(os.path.getsize(path))):
            os.truncate(path, 5)
            status, _, body = self.raw(f"/v2/images/{image_id}/file")
            self.assertEqual("200 OK", status)
            with self.assertRaises(IncompleteData):
                b"".join(body)
        body.close()
        self.assertEqual({}, self.cached())


def _promising(length: int):
    """A read that announces ``length`` bytes, however many there are."""
    get = FileDriver.get

    def promised(driver: FileDriver, *arguments, **known):
        return dataclasses.replace(get(driver, *arguments, **known), length=length, file=None)

    return promised


class TestWhoMayRead(CacheTestCase):
    """OSSA-2013-027: what is in the cache is not for everybody."""

    policy = '"download_image": "role:member and not role:guest"\n'

    def setUp(self) -> None:
        super().setUp()
        self.image_id = self.active()
        self.read(self.image_id)

    def test_the_policy_holds_for_cached_data(self) -> None:
        guest = AppClient(self.service.app, "eve:p1:member+guest")
        for headers in ({}, {"range": "bytes=0-1"}):
            self.assertEqual(403, guest.download(self.image_id, **headers).status_int)
        head = guest.call("HEAD", f"/v2/images/{self.image_id}/file")
        self.assertGreaterEqual(head.status_int, 400)
        self.assertEqual({self.image_id: 0}, self.cached())

    def test_a_cold_image_is_not_fetched_for_who_may_not_read_it(self) -> None:
        image_id = self.active()
        guest = AppClient(self.service.app, "eve:p1:member+guest")
        self.assertEqual(403, guest.download(image_id).status_int)
        self.assertNotIn(image_id, self.cached())

    def test_visibility_holds_for_cached_data(self) -> None:
        self.assertEqual(
            404, AppClient(self.service.app, "bob:p2:member").download(self.image_id).status_int
        )
        self.assertEqual(401, AppClient(self.service.app, "").download(self.image_id).status_int)

    def test_deactivated_data_is_for_administrators_only(self) -> None:
        path = f"/v2/images/{self.image_id}/actions/"
        self.ann.call("POST", path + "deactivate")
        self.assertEqual(403, self.ann.download(self.image_id).status_int)
        self.assertEqual(
            b"0123456789",
            AppClient(self.service.app, "root:p9:admin+member").download(self.image_id).body,
        )
        self.assertEqual({self.image_id: 0}, self.cached())
        self.ann.call("POST", path + "reactivate")
        self.assertEqual(b"0123456789", self.ann.download(self.image_id).body)
        self.assertEqual({self.image_id: 1}, self.cached())


class TestNotification(CacheTestCase):
    """image.send tells how much went out, and for hits to which address."""

    def setUp(self) -> None:
        super().setUp()
        self.sent: list[tuple] = []
        notifier = self.service.deps.notifier
        notifier.is_enabled = lambda event: event == "image.send"
        notifier.info = lambda event, payload: self.sent.append(("info", event, payload))
        notifier.error = lambda event, payload: self.sent.append(("error", event, payload))

    def test_it_is_sent_once_for_each_download(self) -> None:
        image_id = self.active()
        self.read(image_id)
        self.read(image_id)
        self.assertEqual(["info", "info"], [priority for priority, _, _ in self.sent])
        payload = self.sent[1][2]
        self.assertEqual(
            (10, image_id, "p1", "p1", "ann"),
            tuple(
                payload[key]
                for key in (
                    "bytes_sent",
                    "image_id",
                    "owner_id",
                    "receiver_tenant_id",
                    "receiver_user_id",
                )
            ),
        )
        self.assertNotIn("destination_ip", self.sent[0][2])
        self.assertIn("destination_ip", payload)

    def test_a_client_that_leaves_early_is_an_error(self) -> None:
        image_id = self.active()
        self.read(image_id)
        self.sent.clear()
        _, _, body = self.raw(f"/v2/images/{image_id}/file", REMOTE_ADDR="127.0.0.9")
        body.close()
        ((priority, _, payload),) = self.sent
        self.assertEqual(
            ("error", 0, "127.0.0.9"), (priority, payload["bytes_sent"], payload["destination_ip"])
        )


class TestManagement(CacheTestCase):
    def test_an_image_is_queued_fetched_and_removed(self) -> None:
        image_id = self.active()
        self.assertEqual(202, self.root.call("PUT", f"/v2/cache/{image_id}").status_int)
        eventually(
            lambda: (
                self.cached() == {image_id: 0}
                and not self.root.call("GET", "/v2/cache").json["queued_images"]
            )
        )
        self.assertEqual(204, self.root.call("DELETE", f"/v2/cache/{image_id}").status_int)
        self.assertEqual({}, self.cached())

    def test_an_image_that_was_deleted_elsewhere_can_be_removed(self) -> None:
        image_id = self.active()
        self.read(image_id)
        images = open_repositories(self.conf).images
        admin = get_admin_context()
        images.delete(admin, images.get(admin, image_id))
        self.assertEqual(404, self.ann.call("DELETE", f"/v2/cache/{image_id}").status_int)
        self.assertEqual(204, self.root.call("DELETE", f"/v2/cache/{image_id}").status_int)
        self.assertEqual(404, self.root.call("DELETE", f"/v2/cache/{image_id}").status_int)

    def test_cache_and_queue_are_cleared_each_for_itself(self) -> None:
        self.service.prefetcher.wake = lambda: None
        image_id, queued = self.active(), self.active()
        self.read(image_id)
        cache = os.path.join(self.cache_directory, "queue", queued)

        def clear(target: str) -> None:
            with open(cache, "w"):
                pass
            answer = self.root.call("DELETE", "/v2/cache", x_image_cache_clear_target=target)
            self.assertEqual(204, answer.status_int)

        clear("cache")
        self.assertEqual(({}, True), (self.cached(), os.path.exists(cache)))
        self.read(image_id)
        clear("queue")
        self.assertEqual(({image_id: 0}, False), (self.cached(), os.path.exists(cache)))
        clear("")
        self.assertEqual(({}, False), (self.cached(), os.path.exists(cache)))

    def test_the_old_calls(self) -> None:
        image_id = self.active()
        self.read(image_id)
        call = self.root.call
        (shown,) = call("GET", "/v2/cached_images").json["cached_images"]
        self.assertEqual({"image_id", "hits", "last_accessed", "last_modified", "size"}, set(shown))
        self.assertEqual(403, self.ann.call("GET", "/v2/cached_images").status_int)
        self.assertIsNone(call("DELETE", f"/v2/cached_images/{image_id}").json)
        self.assertEqual({"num_deleted": 0}, call("DELETE", "/v2/cached_images").json)
        self.assertIsNone(call("DELETE", "/v2/cached_images/cache.db").json)
        self.assertTrue(os.path.exists(os.path.join(self.cache_directory, "cache.db")))
        self.assertEqual(400, call("PUT", "/v2/queued_images/.hidden").status_int)
        self.assertEqual(404, call("POST", "/v2/cached_images").status_int)

    def test_clean_and_prune(self) -> None:
        with open(os.path.join(self.cache_directory, "invalid", "x"), "w"):
            pass
        self.assertEqual(200, self.root.call("POST", "/v2/cache/clean").status_int)
        self.assertEqual([], os.listdir(os.path.join(self.cache_directory, "invalid")))
        self.assertEqual(
            {"total_files_pruned": 0, "total_bytes_pruned": 0},
            self.root.call("POST", "/v2/cache/prune").json,
        )


class TestTools(CacheTestCase):
    """The commands of operators."""

    def setUp(self) -> None:
        super().setUp()
        server = simple_server.make_server(
            "127.0.0.1", 0, self.service.app, handler_class=SilentHandler
        )
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.port = str(server.server_port)

    def run_command(self, *words: str, token: str = "root:p9:admin") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cache_manage.main(
                ["-H", "127.0.0.1", "-p", self.port, "--os-auth-token", token, *words]
            )
        return code, out.getvalue(), err.getvalue()

    def upkeep(self, command) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = command(["--config-file", self.conf.config_file[0]])
        return code, out.getvalue(), err.getvalue()

    def test_glance_cache_manage(self) -> None:
        image_id = self.active()
        code, out, _ = self.run_command("-v", "queue-image", image_id)
        self.assertEqual((0, f"Queued image {image_id} for caching\n"), (code, out))
        eventually(self.cached)
        code, out, _ = self.run_command("list-cached")
        self.assertEqual(0, code)
        self.assertIn(f"| {image_id} |", out)
        self.assertEqual(
            [image_id],
            [
                image["image_id"]
                for image in json.loads(self.run_command("--json", "list-cached")[1])
            ],
        )
        self.assertEqual("[]\n", self.run_command("--json", "list-queued")[1])
        self.assertEqual(0, self.run_command("-f", "delete-cached-image", image_id)[0])
        self.assertEqual({}, self.cached())
        for command in ("delete-all-cached-images", "delete-all-queued-images"):
            self.assertEqual(0, self.run_command("-f", command)[0])

    def test_what_goes_wrong_is_one_sentence(self) -> None:
        image_id = self.active()
        for words, token in (
            (("list-cached",), "ann:p1:member"),
            (("-f", "delete-queued-image", image_id), "root:p9:admin"),
            (("queue-image", "nothing"), "root:p9:admin"),
        ):
            code, out, err = self.run_command(*words, token=token)
            self.assertEqual((1, ""), (code, out))
            self.assertEqual(1, err.count("\n"), err)
            self.assertIn("glance-cache-manage: ", err)

    def test_cleaner_pruner_and_prefetcher(self) -> None:
        image_id = self.active()
        with open(os.path.join(self.cache_directory, "queue", image_id), "w"):
            pass
        self.assertEqual(
            (0, "1 images were fetched.\n", ""), self.upkeep(cache_maintenance.prefetch)
        )
        self.assertEqual({image_id: 0}, self.cached())
        self.assertEqual(
            (0, "Pruned 0 images, 0 bytes.\n", ""), self.upkeep(cache_maintenance.prune)
        )
        self.assertEqual(
            (0, "The image cache is clean.\n", ""), self.upkeep(cache_maintenance.clean)
        )


class SilentHandler(simple_server.WSGIRequestHandler):
    """Writes no line per request."""

    def log_message(self, *args) -> None:
        pass


class TestStart(unittest.TestCase):
    """A pipeline with the cache does not start without one."""

    def test_each_missing_option_is_named(self) -> None:
        for options, missing in (
            ("", "image_cache_dir"),
            ("image_cache_dir = {}/cache\n", "worker_self_reference_url"),
        ):
            with configured() as (conf, directory):
                conf.set_override("flavor", FLAVOR, "paste_deploy")
                if options:
                    conf.set_override("image_cache_dir", directory + "/cache")
                with self.assertRaisesRegex(pipeline.PipelineError, missing):
                    app.build(conf)

    def test_without_a_cache_its_calls_are_not_supported(self) -> None:
        with configured() as (conf, _):
            service = app.build(conf)
            root, ann = AppClient(service, "root:p9:admin"), AppClient(service, "ann:p1:member")
            for method, path in (
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/clean"),
                ("POST", "/prune"),
            ):
                self.assertEqual(404, root.call(method, "/v2/cache" + path).status_int)
                self.assertEqual(403, ann.call(method, "/v2/cache" + path).status_int)


if __name__ == "__main__":
    unittest.main()
